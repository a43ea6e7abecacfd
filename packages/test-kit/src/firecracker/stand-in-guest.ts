import { spawn } from "node:child_process";
import { existsSync, mkdtempSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";
import type { EmulatedMachine, FromGuests, GuestKind, ToGuests } from "./guest-kinds.ts";

/** Where the jail of the stand-in has the process that runs guests. Outside of a jail the stand-in starts one. */
export const guestsInJail = "/dev/stand-in-kvm";
/** A file that the jailer makes. The process that runs guests may listen a moment later. */
export const markOfJail = "/dev/stand-in-jail";

export interface GuestStart {
  readonly guest: GuestKind;
  /** Directories in place of disks, for a guest that shares this machine's kernel. */
  readonly disks: readonly (string | null)[];
  /** For a guest of the kind `emulated`. */
  readonly machine: EmulatedMachine;
  /** What the agent of a copied guest has said already. `null`: the guest boots. */
  readonly said: Buffer | null;
  /** Socket to which a guest's connection to the host goes. */
  readonly hostSocket: string;
  /** The guest has ended with this exit code. */
  onEnd(exitCode: number): void;
  onConsole(text: string): void;
}

export interface Guest {
  /** Resolves when the guest sees the directory. */
  setDisk(index: number, directory: string | null): Promise<void>;
  /** For a guest of the kind `emulated`. Resolves when the guest sees the image. */
  setImage(index: number, path: string): Promise<void>;
  /** Writes the state of a guest that stands still, and resolves to what its agent has said. */
  save(path: string): Promise<Buffer>;
}

/** Arguments of the process that runs guests. */
export interface GuestsOptions {
  readonly path: string;
  /** Where the relative paths of an emulated machine begin. */
  readonly root: string;
  /** Who may connect. `null`: this process's user, outside of a jail. */
  readonly user: number | null;
  /** Path of the network namespace of an emulated machine. `null`: this process's own. */
  readonly namespace: string | null;
  /** Path of QEMU. `null`: there are no emulated machines. */
  readonly qemu: string | null;
}

/** A guest that does nothing for its host. */
const inert: Guest = { setDisk: async () => {}, setImage: async () => {}, save: async () => Buffer.alloc(0) };

/** Starts a guest. */
export async function startGuest(options: GuestStart): Promise<Guest> {
  const { guest, hostSocket, onEnd, onConsole } = options;
  switch (guest.kind) {
    case "agent":
    case "emulated":
      return await startElsewhere(options);
    case "silent":
      return inert;
    case "panic":
      onConsole("Kernel panic - not syncing: No working init found.\n");
      setImmediate(onEnd, 1);
      return inert;
    case "halt":
      onConsole("reboot: Restarting system\n");
      setImmediate(onEnd, 0);
      return inert;
    case "flood":
      setInterval(() => onConsole(`${"\u001b[31mflood ".repeat(2000)}\n`), 1);
      return inert;
    case "garbage":
      connect(hostSocket, function (this: Socket) {
        this.write("HTTP/1.1 200 OK\r\n\r\n");
      });
      return inert;
    case "twice":
      for (const number of [1, 2]) {
        const socket = connect(hostSocket, () => socket.write(`connection ${number}`));
        socket.on("error", () => onConsole(`connection ${number} refused\n`));
      }
      return inert;
  }
}

/** Has a process outside of the jail run the guest. */
async function startElsewhere(options: GuestStart): Promise<Guest> {
  const { guest, disks, machine, said, hostSocket, onEnd, onConsole } = options;
  const path = await guestsSocket();
  const control = await connectSoon(path);
  const send = (message: ToGuests) => control.write(`${JSON.stringify(message)}\n`);
  const isReady = Promise.withResolvers<void>();
  const asked: ((problem: string) => void)[] = [];
  const ask = async (message: ToGuests) => {
    send(message);
    const problem = await new Promise<string>((resolve) => asked.push(resolve));
    if (problem !== "") throw new Error(problem);
  };
  createInterface({ input: control }).on("line", (line) => {
    const message = JSON.parse(line) as FromGuests;
    if (message.ready) isReady.resolve();
    if (message.answer !== undefined) asked.shift()?.(message.answer);
    if (message.console !== undefined) onConsole(message.console);
    if (message.ended !== undefined) {
      for (const answer of asked.splice(0)) answer("the guest has ended");
      onEnd(message.ended);
    }
  });
  const heard: Buffer[] = said ? [said] : [];
  const bridge = () => {
    const stream = connect(path);
    const host = connect(hostSocket);
    for (const socket of [stream, host]) socket.on("error", () => {}).on("close", () => stream.destroy());
    if (said) host.write(said);
    else stream.once("data", (bytes: Buffer) => heard.push(bytes));
    host.pipe(stream).pipe(host);
  };
  // A real kernel takes seconds, and Firecracker answers before it has booted.
  if (guest.kind === "emulated") {
    send({ emulate: machine });
    void isReady.promise.then(bridge);
  } else {
    send({ start: { agent: guest.kind === "agent" ? guest.agent : null, disks } });
    await isReady.promise;
    bridge();
  }
  return {
    setDisk: (disk, directory) => ask({ disk, directory }),
    setImage: (image, file) => ask({ image, path: file }),
    async save(file) {
      await ask({ save: file });
      return Buffer.concat(heard);
    },
  };
}

async function guestsSocket(): Promise<string> {
  if (existsSync(markOfJail)) return guestsInJail;
  const directory = mkdtempSync(join(tmpdir(), "stand-in-kvm-"));
  const path = join(directory, "kvm");
  spawnGuests({ path, root: process.cwd(), user: null, namespace: null });
  return path;
}

/** Starts the process that runs a guest. It ends when its connection closes. */
export function spawnGuests(options: Omit<GuestsOptions, "qemu">): void {
  const program = join(import.meta.dirname, "guests-main.ts");
  const all: GuestsOptions = { ...options, qemu: process.env.STAND_IN_QEMU || null };
  spawn(process.execPath, [program, JSON.stringify(all)], { detached: true, stdio: "ignore" }).unref();
}

async function connectSoon(path: string): Promise<Socket> {
  for (;;) {
    const socket = connect(path);
    const isConnected = await new Promise<boolean>((resolve) => {
      socket.once("connect", () => resolve(true)).once("error", () => resolve(false));
    });
    if (isConnected) return socket;
    await delay(5);
  }
}
