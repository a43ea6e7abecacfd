// Runs one guest for the stand-in for Firecracker, in place of KVM. It runs as root, also when the stand-in is in a
// jail, because the guest agent needs root's rights in its namespaces.
import { type ChildProcess, spawn } from "node:child_process";
import { chownSync, existsSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { createInterface } from "node:readline";
import type { Duplex } from "node:stream";
import { EmulatedGuest } from "./emulated-machine.ts";
import type { EmulatedMachine, FromGuests, ToGuests } from "./guest-kinds.ts";
import type { GuestsOptions } from "./stand-in-guest.ts";

/** `root`: where paths of an emulated machine begin. `user`: in a jail, who may connect. */
const { path, root, user, namespace, qemu } = JSON.parse(process.argv[2] ?? "") as GuestsOptions;
const directory = mkdtempSync(join(tmpdir(), "stand-in-guest-"));
const linkOf = (index: number) => join(directory, `disk-${String.fromCharCode(97 + index)}`);
const connections: Socket[] = [];
let agent: ChildProcess | undefined;
let emulated: EmulatedGuest | undefined;

const server = createServer((socket) => {
  connections.push(socket);
  socket.on("error", () => {});
  if (connections.length === 1) serveControl(socket);
  else if (agent) {
    const stream = agent.stdio[3] as Duplex;
    stream.on("error", () => {});
    socket.pipe(stream).pipe(socket);
  }
});
const tell = (socket: Socket, message: FromGuests) => socket.write(`${JSON.stringify(message)}\n`);

process.on("exit", () => {
  rmSync(directory, { recursive: true, force: true });
  // Outside of a jail, the stand-in made a directory for this socket.
  if (user === null) rmSync(dirname(path), { recursive: true, force: true });
});
// The jail may be gone before this process listens.
server.on("error", () => process.exit(1));
// The path of a socket is limited, so it is relative.
process.chdir(dirname(path));
server.listen(basename(path), () => {
  if (user !== null && existsSync(path)) chownSync(path, user, user);
});
// A stand-in that never connects has died.
const patience = setTimeout(end, 10_000);

function serveControl(socket: Socket): void {
  clearTimeout(patience);
  socket.on("close", end);
  const lines = createInterface({ input: socket });
  // The socket's own handler of `close` follows.
  lines.on("error", () => {});
  lines.on("line", (line) => {
    const message = JSON.parse(line) as ToGuests;
    if ("start" in message) start(socket, message.start);
    else if ("disk" in message) void answer(socket, () => setDisk(message.disk, message.directory));
    else if ("emulate" in message) emulate(socket, message.emulate);
    else if ("image" in message) void answer(socket, () => emulated?.setImage(message.image, message.path));
    else void answer(socket, () => emulated?.save(message.save));
  });
}

function start(socket: Socket, { agent: program, disks }: Extract<ToGuests, { start: unknown }>["start"]): void {
  for (const [index, disk] of disks.entries()) setDisk(index, disk);
  if (program === null) return;
  const confined = ["setpriv", "--bounding-set=-sys_time,-sys_boot", program];
  const namespaces = ["--pid", "--fork", "--kill-child", "--mount", "--mount-proc", "--net", "--"];
  const options = ["--shared-kernel", "--disks", join(directory, "disk-"), "--fd", "3"];
  agent = spawn("unshare", [...namespaces, ...confined, ...options], {
    stdio: ["ignore", "ignore", "ignore", "pipe"],
    env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin" },
  });
  agent.once("close", (code) => {
    tell(socket, { ended: code ?? 1 });
    socket.end();
  });
  tell(socket, { ready: true });
}

function emulate(socket: Socket, machine: EmulatedMachine): void {
  if (qemu === null) {
    end();
    return;
  }
  const guest = new EmulatedGuest({ program: qemu, root, namespace, machine });
  emulated = guest;
  agent = guest.process;
  const ready = () => tell(socket, { ready: true });
  // A copy's agent waits for the host's greeting.
  if (machine.state !== null) void guest.resume().then(ready, end);
  else guest.stream.once("readable", ready);
  agent.once("close", (code) => {
    tell(socket, { ended: code ?? 1, console: guest.console });
    socket.end();
  });
}

async function answer(socket: Socket, change: () => Promise<void> | void): Promise<void> {
  try {
    await change();
    tell(socket, { answer: "" });
  } catch (error) {
    tell(socket, { answer: String(error) });
  }
}

function setDisk(index: number, target: string | null): void {
  rmSync(linkOf(index), { force: true });
  if (target !== null) symlinkSync(target, linkOf(index));
}

function end(): void {
  const finish = () => process.exit(0);
  server.close();
  for (const socket of connections) socket.destroy();
  const runs = agent && agent.exitCode === null && agent.signalCode === null;
  if (!runs) finish();
  agent?.once("close", finish);
  agent?.kill("SIGKILL");
}
