import { JobList } from "@airlock/api";
import type { JobState } from "@airlock/job";
import type { Command } from "commander";
import { UsageError } from "../../context/command-error.ts";
import type { InstanceClient } from "../../instance/instance-client.ts";
import { parseLabel } from "../../options/label-argument.ts";
import { parseNamespace, parseQueueName } from "../../options/name-arguments.ts";
import { parseStates } from "../../options/state-list-argument.ts";

/** Flags that choose jobs by what they have in common. */
export interface JobFilterFlags {
  readonly queue?: string;
  readonly state?: readonly JobState[];
  readonly label?: readonly string[];
  readonly namespace?: string;
}

export function addJobFilterFlags(command: Command): Command {
  return command
    .option("--queue <NAME>", "only jobs of this queue", parseQueueName)
    .option("--state <STATES>", "only jobs in these states, separated by commas", parseStates)
    .option("--label <KEY=VALUE>", "only jobs that ask for this label (repeatable)", parseLabel)
    .option("--namespace <NAME>", "only jobs of this namespace", parseNamespace);
}

/** The query of `GET /jobs` for these flags. */
export function jobFilterQuery(flags: JobFilterFlags): URLSearchParams {
  const search = new URLSearchParams();
  if (flags.queue !== undefined) search.set("queue", flags.queue);
  if (flags.state !== undefined) search.set("state", flags.state.join(","));
  if (flags.namespace !== undefined) search.set("namespace", flags.namespace);
  for (const label of flags.label ?? []) search.append("label", label);
  return search;
}

/**
 * The jobs that a command acts on: those with these numbers, or all that the filters match, newest first.
 * @param states States for filters without `--state`.
 * @throws {UsageError} without numbers and filters, or with both.
 */
export async function chooseJobs(
  client: () => Promise<InstanceClient>,
  ids: readonly number[],
  flags: JobFilterFlags,
  states: readonly JobState[],
): Promise<readonly number[]> {
  const filters = [flags.queue, flags.state, flags.label, flags.namespace].some((flag) => flag !== undefined);
  if (ids.length > 0 && filters) {
    throw new UsageError("job numbers cannot be used with --queue, --state, --label or --namespace");
  }
  if (ids.length > 0) return [...new Set(ids)];
  if (!filters) {
    throw new UsageError("no jobs chosen", "Give job numbers, or filters such as --queue NAME or --label KEY=VALUE.");
  }
  const search = jobFilterQuery({ state: states, ...flags });
  search.set("limit", "200");
  const found: number[] = [];
  for (;;) {
    const page = await (await client()).json(JobList, `jobs?${search}`);
    found.push(...page.jobs.map(({ id }) => id));
    if (page.next === null) return found;
    search.set("before", String(page.next));
  }
}
