import type { ExecutorTokenView } from "@airlock/api";

/** Subject of a sentence about the executors that use a token. */
export function executorCount({ executors }: Pick<ExecutorTokenView, "executors">): string {
  if (executors.length === 0) return "Executors that use it";
  return executors.length === 1 ? "The executor that uses it" : `The ${executors.length} executors that use it`;
}
