import type { BatchSpec } from "../spec/batch-spec.ts";
import { parseBatchSpec } from "../spec/parse-batch-spec.ts";

/** Parses a spec that a test knows to be valid. */
export function validSpec(text: string): BatchSpec {
  const { spec, problems } = parseBatchSpec(text);
  if (!spec) throw new Error(problems?.map(({ path, message }) => `${path}: ${message}`).join("\n"));
  return spec;
}
