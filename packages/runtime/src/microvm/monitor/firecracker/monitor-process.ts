import { type RunningProgram, startProgram } from "@airlock/process";
import type { VmEnd, VmNetwork } from "../vm-monitor.ts";
import type { Enclosure } from "./enclosure.ts";
import { MonitorOutput } from "./monitor-output.ts";

/** A Firecracker process. Disposing ends it at once. */
export class MonitorProcess implements AsyncDisposable {
  /** Aborts when the process has ended. */
  readonly gone: AbortSignal;
  readonly ended: Promise<VmEnd>;
  readonly console: MonitorOutput;
  readonly #program: RunningProgram;
  readonly #enclosure: Enclosure;

  private constructor(program: RunningProgram, enclosure: Enclosure) {
    this.#program = program;
    this.#enclosure = enclosure;
    this.console = new MonitorOutput();
    program.stdin.end();
    for (const stream of [program.stdout, program.stderr]) {
      stream.on("data", (bytes: Buffer) => this.console.push(bytes));
    }
    const gone = new AbortController();
    this.gone = gone.signal;
    // Firecracker inherits the jailer's output streams, so they end with it, although the jailer ends long before.
    this.ended = program.ended.then(
      ({ exitCode }) => this.#end(exitCode, gone),
      () => this.#end(null, gone),
    );
  }

  static async start(enclosure: Enclosure, network: VmNetwork | null): Promise<MonitorProcess> {
    // A crash must not write a guest's secrets to the host's disk.
    const withoutCore = ["/bin/sh", "-c", 'ulimit -c 0; exec "$@"', "sh", ...enclosure.command(network)];
    return new MonitorProcess(await startProgram(withoutCore, { cwd: enclosure.root }), enclosure);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // The jail's process 1 ignores SIGTERM, so `stop` alone would take its whole grace period.
    await this.#enclosure.kill();
    this.#program.stop();
    await this.ended;
  }

  #end(exitCode: number | null, gone: AbortController): VmEnd {
    gone.abort(new Error("the monitor has ended"));
    // The jailer's success says nothing about Firecracker's end.
    const isHidden = this.#enclosure.user !== null && exitCode === 0;
    return { exitCode: isHidden ? null : exitCode, console: this.console.text(), cause: null };
  }
}
