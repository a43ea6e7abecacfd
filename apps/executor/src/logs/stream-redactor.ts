import type { SecretMatcher } from "./secret-matcher.ts";

/**
 * Replaces secrets in one stream of bytes, wherever the stream is cut. Every byte that belongs to any occurrence of a
 * pattern disappears: overlapping occurrences become one replacement (that of the first, and of the longest there),
 * occurrences that only touch become one each. The result does not depend on how the stream was cut.
 *
 * Only bytes that may still turn out to be the beginning of a secret are held back, however long the stream is silent:
 * printing them would give away half of a secret that was written in two pieces. Everything else passes at once.
 */
export class StreamRedactor {
  readonly #matcher: SecretMatcher;
  #held: Buffer = Buffer.alloc(0);
  /** How many of the held bytes belong to a secret whose replacement was given out already. */
  #covered = 0;

  constructor(matcher: SecretMatcher) {
    this.#matcher = matcher;
  }

  write(chunk: Buffer): Buffer[] {
    const text = this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk]);
    return this.#redact(text, this.#matcher.unfinishedFrom(text));
  }

  /** What was held back, when the stream has ended. */
  end(): Buffer[] {
    return this.#redact(this.#held, this.#held.length);
  }

  /** Decides about everything before `undecided`. */
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
    // A copy: the rest of a chunk must not keep the whole chunk in memory.
    this.#held = undecided === text.length ? Buffer.alloc(0) : Buffer.from(text.subarray(undecided));
    this.#covered = Math.max(0, coveredUntil - undecided);
    return output;
  }
}
