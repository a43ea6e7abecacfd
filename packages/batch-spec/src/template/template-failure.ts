/** Why a template can't be parsed or executed. It never leaves this package: callers get a `TemplateProblem`. */
export class TemplateFailure extends Error {
  override readonly name = "TemplateFailure";
  /** Offset in the template's text, if known. */
  readonly at: number | undefined;

  constructor(message: string, at?: number) {
    super(message);
    this.at = at;
  }
}

/** Line and column start at 1 and count from the start of the template. */
export interface TemplateProblem {
  readonly line: number;
  readonly column: number;
  readonly message: string;
}

export function describeFailure(failure: TemplateFailure, text: string): TemplateProblem {
  const before = text.slice(0, failure.at ?? 0);
  const line = before.split("\n").length;
  return { line, column: before.length - before.lastIndexOf("\n"), message: failure.message };
}
