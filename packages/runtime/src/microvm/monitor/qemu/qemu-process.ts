import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import type { Duplex, Readable } from "node:stream";
import { systemEnvironment } from "@airlock/process";
import { runtimeFailed } from "../../../contract/errors.ts";
import { killProcess } from "../../../host/cgroups/cgroup.ts";
import { ConsoleTail } from "../console-tail.ts";
import type { VmEnd } from "../vm-monitor.ts";
import { type Confinement, confinedCommand } from "./confine-qemu.ts";

interface QemuStart {
  readonly confinement: Confinement;
  readonly snapshot: number | null;
  readonly tap: number | null;
  /** Descriptors of the machine's disks. `null`: an empty slot. */
  readonly disks: readonly (number | null)[];
}

/** The part of QEMU's own messages that an error quotes. */
const maxWords = 2000;

/** QEMU's process. Its streams are pairs of sockets without a name: no other process can connect to them. */
export class QemuProcess {
  readonly control: Duplex;
  readonly agent: Duplex;
  readonly console: ConsoleTail;
  /** Settles when the process has ended. Never rejects. */
  readonly ended: Promise<VmEnd>;
  readonly #child: ChildProcess;
  #words = "";
  #hasEnded = false;
  #isKilled = false;
  #cause: string | null = null;

  private constructor(child: ChildProcess) {
    this.#child = child;
    const [, , words, control, console, agent] = child.stdio as unknown as readonly [
      null,
      null,
      Readable,
      Duplex,
      Duplex,
      Duplex,
    ];
    this.control = control;
    this.agent = agent;
    this.console = new ConsoleTail(console);
    words.on("data", (bytes: Buffer) => {
      this.#words = (this.#words + bytes.toString("latin1")).slice(-maxWords);
    });
    // A stream may fail when QEMU ends. Its reader learns that, too.
    for (const stream of [words, console, agent]) stream.on("error", () => {});
    this.ended = new Promise((resolve) => {
      child.once("exit", (exitCode, signal) => {
        this.#hasEnded = true;
        if (signal !== null && !this.#isKilled) this.#cause = causeOf(signal);
        const finish = () => resolve({ exitCode, console: this.console.text, cause: this.#cause });
        // The last words of the guest are still in the socket, unless it has printed so much that nobody reads them.
        if (console.isPaused() || console.destroyed || console.readableEnded) finish();
        else console.once("end", finish).once("close", finish);
        if (console.isPaused()) console.destroy();
      });
    });
  }

  /**
   * Starts QEMU without privileges, in its own process group. It ends with this process.
   * @param snapshot Descriptor of the file that holds the state of a copy.
   * @param tap Descriptor of the device that is the machine's network.
   * @throws {AirlockError} reason `runtime`
   */
  static async start(
    command: readonly string[],
    { confinement, snapshot, tap, disks }: QemuStart,
  ): Promise<QemuProcess> {
    const [program = "", ...args] = confinedCommand(command, confinement);
    const pipes = ["ignore", "ignore", "pipe", "pipe", "pipe", "pipe"] as const;
    const child = spawn(program, args, {
      cwd: "/",
      env: systemEnvironment,
      detached: true,
      stdio: [...pipes, ...[snapshot, tap, ...disks].map((descriptor) => descriptor ?? "ignore")],
    });
    try {
      await once(child, "spawn");
    } catch (cause) {
      throw runtimeFailed("QEMU can't be started", cause);
    }
    return new QemuProcess(child);
  }

  /** What QEMU itself has complained about, printable. */
  get words(): string {
    return this.#words.replace(/[^\n -~]/g, "?").trim();
  }

  /** Ends the machine because of a fault of this host, which `VmEnd.cause` then names. */
  fail(cause: string): void {
    this.#cause ??= cause;
    this.kill();
  }

  /** Kills the whole process group. */
  kill(): void {
    this.#isKilled = true;
    const { pid } = this.#child;
    if (pid !== undefined && !this.#hasEnded) killProcess(-pid, "SIGKILL");
  }
}

function causeOf(signal: NodeJS.Signals): string {
  if (signal !== "SIGKILL") return `QEMU crashed (${signal})`;
  return "QEMU was killed (SIGKILL) by another program, or because its host lacked memory";
}
