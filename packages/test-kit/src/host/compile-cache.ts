/** Variables that let a program reuse the modules that other programs of this run have compiled. */
export function compileCacheEnvironment(): Readonly<Record<string, string>> {
  const { NODE_COMPILE_CACHE } = process.env;
  return NODE_COMPILE_CACHE === undefined ? {} : { NODE_COMPILE_CACHE };
}
