const maxBytes = 16 * 2 ** 10;

/**
 * The last 16 KiB of what a guest and its monitor print on the same stream. It is read to its end, however much comes:
 * only the end of the stream shows that a monitor in a jail has ended.
 */
export class MonitorOutput {
  #parts: Buffer[] = [];
  #bytes = 0;

  push(bytes: Buffer): void {
    this.#parts.push(bytes);
    this.#bytes += bytes.length;
    // Cutting only at twice the limit keeps the cost of many small writes linear.
    if (this.#bytes > 2 * maxBytes) this.#cut();
  }

  text(): string {
    this.#cut();
    return printable(this.#parts[0]?.toString("latin1") ?? "");
  }

  #cut(): void {
    const kept = Buffer.concat(this.#parts).subarray(-maxBytes);
    this.#parts = [kept];
    this.#bytes = kept.length;
  }
}

/** Replaces what is not printable ASCII: a guest must not send control sequences to an administrator's terminal. */
export function printable(text: string): string {
  return text.replaceAll("\r\n", "\n").replace(/[^\n\t\x20-\x7e]/g, "?");
}
