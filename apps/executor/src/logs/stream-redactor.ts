import type { SecretMatcher } from "./secret-matcher.ts";

/**
 * Replaces secrets in one stream of bytes, wherever the stream was split. Every byte that belongs to an occurrence of a
 * pattern disappears. Overlapping occurrences become one replacement: that of the first start and the longest pattern
 * there. Adjacent occurrences become one replacement each. The result does not depend on where the stream was split.
 *
 * Only bytes that may still be the beginning of a secret are held back, however long the stream is silent. Printing
 * them would reveal half of a secret that was written in two pieces. All other bytes pass at once.
 */
export class StreamRedactor {
  readonly #matcher: SecretMatcher;
  #held: Buffer = Buffer.alloc(0);
  /** Number of held bytes that belong to a secret whose replacement was already emitted. */
  #covered = 0;

  constructor(matcher: SecretMatcher) {
    this.#matcher = matcher;
  }

  write(chunk: Buffer): Buffer[] {
    const text = this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk]);
    return this.#redact(text, this.#matcher.unfinishedFrom(text));
  }

  /** Returns the bytes that were held back. Call it when the stream has ended. */
  end(): Buffer[] {
    return this.#redact(this.#held, this.#held.length);
  }

  /** Redacts everything before `undecided` and holds back the rest. */
  #redact(text: Buffer, undecided: number): Buffer[] {
    const output: Buffer[] = [];
    let coveredUntil = this.#covered;
    for (const { start, end, replacement } of this.#matcher.matches(text)) {
      if (start >= undecided) break;
      if (start >= coveredUntil) {
        if (start > coveredUntil) output.push(text.subarray(coveredUntil, start));
        output.push(replacement);
      }
      coveredUntil = Math.max(coveredUntil, end);
    }
    if (coveredUntil < undecided) output.push(text.subarray(coveredUntil, undecided));
    // Copy, so that the rest of a chunk does not keep the whole chunk in memory.
    this.#held = undecided === text.length ? Buffer.alloc(0) : Buffer.from(text.subarray(undecided));
    this.#covered = Math.max(0, coveredUntil - undecided);
    return output;
  }
}
