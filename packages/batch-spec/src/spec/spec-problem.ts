/** One problem of a batch spec and its place in the text. Line and column start at 1. */
export interface SpecProblem {
  readonly line: number;
  readonly column: number;
  readonly length: number;
  /** For example `steps[0].container`. Empty for problems of the whole text. */
  readonly path: string;
  readonly message: string;
  readonly help?: string;
}
