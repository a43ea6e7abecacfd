/** Remembers texts for a while, so that the same text is not shown repeatedly. */
export class RecentTexts {
  readonly #ms: number;
  readonly #shownAt = new Map<string, number>();

  constructor(ms: number) {
    this.#ms = ms;
  }

  /** Whether the text was not shown within the last `ms`. If so, marks it as shown now. */
  isNews(text: string, now = performance.now()): boolean {
    for (const [known, at] of this.#shownAt) if (now - at >= this.#ms) this.#shownAt.delete(known);
    if (this.#shownAt.has(text)) return false;
    this.#shownAt.set(text, now);
    return true;
  }
}
