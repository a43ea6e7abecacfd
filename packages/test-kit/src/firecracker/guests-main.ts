// Runs one guest for the stand-in for Firecracker, in place of KVM. It runs as root, also when the stand-in is in a
// jail, because the guest agent needs root's rights in its namespaces.
import { type ChildProcess, spawn } from "node:child_process";
import { chownSync, existsSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import type { Duplex } from "node:stream";
import type { FromGuests, ToGuests } from "./guest-kinds.ts";

const [path = "", user] = process.argv.slice(2);
const directory = mkdtempSync(join(tmpdir(), "stand-in-guest-"));
const linkOf = (index: number) => join(directory, `disk-${String.fromCharCode(97 + index)}`);
const connections: Socket[] = [];
let agent: ChildProcess | undefined;

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
process.on("exit", () => {
  rmSync(directory, { recursive: true, force: true });
  // Outside of a jail, the stand-in made a directory for this socket.
  if (user === undefined) rmSync(dirname(path), { recursive: true, force: true });
});
// The jail may be gone before this process listens.
server.on("error", () => process.exit(1));
server.listen(path, () => {
  if (user !== undefined && existsSync(path)) chownSync(path, Number(user), Number(user));
});
// A stand-in that never connects has died.
const patience = setTimeout(end, 10_000);

function serveControl(socket: Socket): void {
  clearTimeout(patience);
  socket.on("close", end);
  createInterface({ input: socket }).on("line", (line) => {
    const message = JSON.parse(line) as ToGuests;
    if ("start" in message) start(socket, message.start);
    else setDisk(message.disk, message.directory);
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
    const end: FromGuests = { ended: code ?? 1 };
    socket.end(`${JSON.stringify(end)}\n`);
  });
  // Tells that the stream can be connected.
  socket.write("{}\n");
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
