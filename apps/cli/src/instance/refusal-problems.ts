import { JobSpec } from "@airlock/api";
import type { ErrorCode } from "@airlock/job";
import type { FieldProblem } from "@airlock/yaml-source";
import { parseIssueLine } from "../job-file/parse-issue-line.ts";
import { RequestError } from "./request-error.ts";

/** Hints in the terms of this command line, for errors whose hints name the API. */
const hints: Readonly<Partial<Record<ErrorCode, string>>> = {
  "unknown-queue": "List the queues with `airlock queue list`, or create it with `airlock queue create`.",
  "unknown-repository": "List the repositories with `airlock repo list`, or give a URL or a path.",
};

/** The instance's objections to a submitted job, by field. `undefined` if the error is about something else. */
export function refusalProblems(error: unknown): readonly FieldProblem[] | undefined {
  if (!(error instanceof RequestError) || (error.status !== 400 && error.status !== 422)) return undefined;
  // Some errors name the field only in their message.
  const lines = error.issues.length > 0 ? error.issues : [error.message];
  const problems = lines.map(parseIssueLine).map((problem) => ({ ...problem, path: jobPath(problem.path) }));
  if (!problems.every(({ path }) => Object.hasOwn(JobSpec.shape, path[0] ?? ""))) return undefined;
  const help = hints[error.code] ?? error.hint;
  const [only] = problems;
  return only && problems.length === 1 && help !== undefined ? [{ ...only, help }] : problems;
}

/** The request that adds a repository names the field `url`; in a job it is `repository`. */
function jobPath(path: readonly PropertyKey[]): readonly PropertyKey[] {
  return path[0] === "url" ? ["repository", ...path.slice(1)] : path;
}
