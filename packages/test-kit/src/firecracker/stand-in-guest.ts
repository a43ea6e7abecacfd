import { spawn } from "node:child_process";
import { existsSync, mkdtempSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";
import type { FromGuests, GuestKind, ToGuests } from "./guest-kinds.ts";

/** Where the jail of the stand-in has the process that runs guests. Outside of a jail the stand-in starts one. */
export const guestsInJail = "/dev/stand-in-kvm";

export interface GuestStart {
  readonly guest: GuestKind;
  readonly disks: readonly (string | null)[];
  /** Socket to which a guest's connection to the host goes. */
  readonly hostSocket: string;
  /** The guest has ended with this exit code. */
  onEnd(exitCode: number): void;
  onConsole(text: string): void;
}

export interface Guest {
  setDisk(index: number, directory: string | null): void;
}

/** Starts a guest. */
export async function startGuest({ guest, disks, hostSocket, onEnd, onConsole }: GuestStart): Promise<Guest> {
  switch (guest.kind) {
    case "agent":
      break;
    case "silent":
      return { setDisk: () => {} };
    case "panic":
      onConsole("Kernel panic - not syncing: No working init found.\n");
      setImmediate(onEnd, 1);
      return { setDisk: () => {} };
    case "halt":
      onConsole("reboot: Restarting system\n");
      setImmediate(onEnd, 0);
      return { setDisk: () => {} };
    case "flood":
      setInterval(() => onConsole(`${"\u001b[31mflood ".repeat(2000)}\n`), 1);
      return { setDisk: () => {} };
    case "garbage":
      connect(hostSocket, function (this: Socket) {
        this.write("HTTP/1.1 200 OK\r\n\r\n");
      });
      return { setDisk: () => {} };
    case "twice":
      for (const number of [1, 2]) {
        const socket = connect(hostSocket, () => socket.write(`connection ${number}`));
        socket.on("error", () => onConsole(`connection ${number} refused\n`));
      }
      return { setDisk: () => {} };
  }
  const path = await guestsSocket();
  const control = await connectSoon(path);
  const send = (message: ToGuests) => control.write(`${JSON.stringify(message)}\n`);
  const isReady = Promise.withResolvers<void>();
  createInterface({ input: control }).on("line", (line) => {
    const message = JSON.parse(line) as Partial<FromGuests>;
    if (message.ended === undefined) isReady.resolve();
    else onEnd(message.ended);
  });
  send({ start: { agent: guest.agent, disks } });
  await isReady.promise;
  const stream = connect(path);
  const host = connect(hostSocket);
  for (const socket of [stream, host]) socket.on("error", () => {}).on("close", () => stream.destroy());
  host.pipe(stream).pipe(host);
  return { setDisk: (disk, directory) => send({ disk, directory }) };
}

async function guestsSocket(): Promise<string> {
  if (existsSync(guestsInJail)) return guestsInJail;
  const directory = mkdtempSync(join(tmpdir(), "stand-in-kvm-"));
  const path = join(directory, "kvm");
  spawnGuests(path, []);
  return path;
}

/** Starts the process that runs a guest. It ends when its connection closes. */
export function spawnGuests(path: string, user: readonly string[]): void {
  const program = join(import.meta.dirname, "guests-main.ts");
  spawn(process.execPath, [program, path, ...user], { detached: true, stdio: "ignore" }).unref();
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
