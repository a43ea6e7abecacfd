import { commandErrors } from "./command-errors.ts";
import type { ErrorCodeEntry, ErrorCodeGroup } from "./error-code-entry.ts";
import { executorErrors } from "./executor-errors.ts";
import { instanceErrors } from "./instance-errors.ts";
import { jobErrors } from "./job-errors.ts";
import { requestErrors } from "./request-errors.ts";

/** All error codes of Airlock, in the groups of docs/errors.md. Each code belongs to one group. */
export const errorCodeGroups = {
  "Answers of the instance": requestErrors,
  Jobs: jobErrors,
  "The instance": instanceErrors,
  Executors: executorErrors,
  "The command line": commandErrors,
} as const satisfies Readonly<Record<string, ErrorCodeGroup>>;

type Groups = typeof errorCodeGroups;

/** A stable name of an error, for programs. Declare new codes in one of the groups. */
export type ErrorCode = { [Name in keyof Groups]: keyof Groups[Name] }[keyof Groups];

const entries: ReadonlyMap<string, ErrorCodeEntry> = new Map(
  Object.values(errorCodeGroups).flatMap((group) => Object.entries<ErrorCodeEntry>(group)),
);

/** Whether this version knows the code. Responses of other versions may have unknown codes. */
export function isErrorCode(text: string): text is ErrorCode {
  return entries.has(text);
}

/** HTTP status of a response with this code. 500 for codes that no response should have. */
export function httpStatusOfCode(code: ErrorCode): number {
  return entries.get(code)?.status ?? 500;
}
