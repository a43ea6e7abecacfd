import type { LogDelivery, LogEntryHeader, LogSink, OutputStream } from "../../logs/log-sink.ts";

/** Prints a log as lines, for a command whose user waits. Progress of git, which ends with carriage returns, is left out. */
export class PrintedLog implements LogSink {
  readonly #print: (line: string) => void;
  readonly #keys: string[] = [];

  constructor(print: (line: string) => void) {
    this.#print = print;
  }

  open({ key, command }: LogEntryHeader): number {
    this.#print(command.length > 0 ? `${key}: ${command.join(" ")}` : key);
    return this.#keys.push(key);
  }

  append(_entryId: number, _stream: OutputStream, bytes: Buffer): void {
    for (const line of bytes.toString().split("\n")) if (line !== "" && !line.includes("\r")) this.#print(`  ${line}`);
  }

  note(_entryId: number, text: string): void {
    this.#print(`  ${text}`);
  }

  close(entryId: number, exitCode: number): void {
    if (exitCode !== 0) this.#print(`${this.#keys[entryId - 1]} failed`);
  }

  async finish(): Promise<LogDelivery> {
    return { kind: "delivered" };
  }
}
