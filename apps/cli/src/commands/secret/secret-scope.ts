import { plainText } from "@airlock/terminal-text";
import type { Command } from "commander";
import { parseNamespace, parseQueueName } from "../../options/name-arguments.ts";

export interface ScopeFlags {
  readonly namespace?: string;
  readonly queue?: string;
}

export function addScopeFlags(command: Command): Command {
  return command
    .option("--namespace <NAME>", "only for jobs of this namespace; overrides a secret for all jobs", parseNamespace)
    .option("--queue <NAME>", "only for jobs of this queue", parseQueueName);
}

/** `for namespace team-a and queue nightly`, for display. */
export function describeScope(scope: { readonly namespace: string | null; readonly queue: string | null }): string {
  const parts = [
    scope.namespace === null ? [] : [`namespace ${plainText(scope.namespace)}`],
    scope.queue === null ? [] : [`queue ${plainText(scope.queue)}`],
  ].flat();
  return parts.length === 0 ? "for all jobs" : `for ${parts.join(" and ")}`;
}
