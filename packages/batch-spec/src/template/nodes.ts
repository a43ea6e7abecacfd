/** A part of a template. `at` is the offset in its text. */
export type Node =
  | { readonly kind: "text"; readonly at: number; readonly bytes: string }
  | { readonly kind: "action"; readonly at: number; readonly pipe: Pipe }
  | ({ readonly kind: "if" | "with" | "range"; readonly at: number } & Branch)
  | { readonly kind: "template"; readonly at: number; readonly name: string; readonly pipe: Pipe | undefined }
  | { readonly kind: "break" | "continue"; readonly at: number };

export interface Branch {
  readonly pipe: Pipe;
  readonly body: readonly Node[];
  readonly otherwise: readonly Node[] | undefined;
}

export interface Pipe {
  readonly at: number;
  /** `=` sets a variable that exists, `:=` declares it. */
  readonly assigns: boolean;
  readonly variables: readonly string[];
  readonly commands: readonly Command[];
}

export interface Command {
  readonly at: number;
  readonly operands: readonly [Operand, ...Operand[]];
}

export type Operand =
  | { readonly kind: "constant"; readonly at: number; readonly value: bigint | number | boolean | string }
  | { readonly kind: "nil" | "dot"; readonly at: number }
  | { readonly kind: "function"; readonly at: number; readonly name: string }
  | { readonly kind: "variable"; readonly at: number; readonly name: string; readonly fields: readonly string[] }
  /** Fields of the dot. */
  | { readonly kind: "field"; readonly at: number; readonly fields: readonly string[] }
  | { readonly kind: "chain"; readonly at: number; readonly operand: Operand; readonly fields: readonly string[] }
  | { readonly kind: "pipe"; readonly at: number; readonly pipe: Pipe };

export interface Template {
  readonly text: string;
  readonly root: readonly Node[];
  readonly definitions: ReadonlyMap<string, readonly Node[]>;
}
