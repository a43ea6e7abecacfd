/** Ends a `switch` over a union: a member without a case is a compile error, a foreign value at run time throws. */
export function assertNever(value: never): never {
  throw new TypeError(`unexpected value ${JSON.stringify(value)}`);
}
