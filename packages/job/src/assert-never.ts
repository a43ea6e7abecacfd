/** Ends a `switch` over a union. A missing case is a compile error; an unexpected value at run time throws. */
export function assertNever(value: never): never {
  throw new TypeError(`unexpected value ${JSON.stringify(value)}`);
}
