/**
 * The longest `NAME=VALUE` of an environment in bytes, without the NUL at its end: MAX_ARG_STRLEN of Linux, 32 pages of
 * 4 KiB. See execve(2).
 */
export const maximumVariableBytes = 131_071;

/**
 * Maximum size of all variables of a step together, as the kernel counts them. By default it accepts 2 MiB of arguments
 * and environment (a quarter of the stack's limit). The other half is for the image's own variables and those that the
 * executor adds.
 */
export const maximumEnvironmentBytes = 2 ** 20;

/** Bytes of `NAME=VALUE` in UTF-8. */
export function variableBytes(name: string, value: string): number {
  return new TextEncoder().encode(`${name}=${value}`).length;
}

/** Bytes that the kernel counts for variables of these lengths: each adds a terminating NUL and a pointer. */
export function environmentBytes(variables: Iterable<number>): number {
  let sum = 0;
  for (const bytes of variables) sum += bytes + 9;
  return sum;
}
