import { TemplateFailure } from "./template-failure.ts";

export interface TemplateLimits {
  /** Longest result, and longest text that a function may make, in bytes. */
  readonly maximumBytes: number;
  /** Evaluated parts, plus one for each 16 bytes that functions handle. Limits the time. */
  readonly maximumWork: number;
}

export const defaultTemplateLimits: TemplateLimits = { maximumBytes: 4 * 1024 * 1024, maximumWork: 1_000_000 };

/** Nested blocks, parentheses and templates while a template is executed. */
const maximumDepth = 500;

/** Counts what one execution uses, and ends it when it uses too much. */
export class Budget {
  private readonly limits: TemplateLimits;
  private work = 0;
  private depth = 0;

  constructor(limits: TemplateLimits) {
    this.limits = limits;
  }

  spend(units: number): void {
    this.work += units;
    if (this.work > this.limits.maximumWork) throw new TemplateFailure("the template takes too long");
  }

  /** Call this before making a text of this length. `total` is the length of the text that it becomes part of. */
  makeText(bytes: number, total = bytes): void {
    if (total > this.limits.maximumBytes) {
      throw new TemplateFailure(`the template makes more than ${this.limits.maximumBytes} bytes`);
    }
    this.spend(1 + bytes / 16);
  }

  enter(at: number): void {
    this.depth += 1;
    if (this.depth > maximumDepth) throw new TemplateFailure("nested too deeply", at);
  }

  leave(): void {
    this.depth -= 1;
  }
}
