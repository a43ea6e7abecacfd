import type { Command } from "commander";
import { parseAuditAction, parseAuditActor, parseAuditTarget, parseNamespace } from "../../options/name-arguments.ts";
import { parseJobId } from "../../options/number-arguments.ts";
import { parseSince } from "../../options/since-argument.ts";

export interface AuditFilters {
  readonly action?: string;
  readonly actor?: string;
  readonly namespace?: string;
  readonly target?: string;
  readonly job?: number;
  readonly since?: string;
  readonly until?: string;
}

/** The options with which both commands choose entries. */
export function addAuditFilters(command: Command): Command {
  return command
    .option("--action <ACTION>", "only this action, such as secret.used, or all of secret", parseAuditAction)
    .option("--actor <NAME>", "only what this user or executor did", parseAuditActor)
    .option("--namespace <NAME>", "only what is about this user or organization", parseNamespace)
    .option("--target <NAME>", "only what was done to the thing with this name", parseAuditTarget)
    .option("--job <ID>", "only what is about this job", parseJobId)
    .option("--since <TIME>", "only from this time on: 2h, 7d, 2026-08-01 or 2026-08-01T10:00", parseSince)
    .option("--until <TIME>", "only before this time", parseSince);
}

/** The query of a request with these options. */
export function auditSearch(options: AuditFilters): URLSearchParams {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(options)) {
    if (value !== undefined) search.set(name, String(value));
  }
  return search;
}
