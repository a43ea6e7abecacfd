import { commandErrors } from "./command-errors.ts";
import type { ErrorCodeEntry, ErrorCodeGroup } from "./error-code-entry.ts";
import { executorErrors } from "./executor-errors.ts";
import { instanceErrors } from "./instance-errors.ts";
import { jobErrors } from "./job-errors.ts";
import { requestErrors } from "./request-errors.ts";

/** Every error code of Airlock, in the groups of docs/errors.md. A code stands in one group. */
export const errorCodeGroups = {
  "Answers of the instance": requestErrors,
  Jobs: jobErrors,
  "The instance": instanceErrors,
  Executors: executorErrors,
  "The command line": commandErrors,
} as const satisfies Readonly<Record<string, ErrorCodeGroup>>;

type Groups = typeof errorCodeGroups;

/** A stable name of an error, for programs. New codes are declared in one of the groups. */
export type ErrorCode = { [Name in keyof Groups]: keyof Groups[Name] }[keyof Groups];

const entries: ReadonlyMap<string, ErrorCodeEntry> = new Map(
  Object.values(errorCodeGroups).flatMap((group) => Object.entries<ErrorCodeEntry>(group)),
);

/** Answers of another version may carry a code that this version does not know. */
export function isErrorCode(text: string): text is ErrorCode {
  return entries.has(text);
}

/** HTTP status of an answer with this code. Codes that no answer should carry are the instance's fault: 500. */
export function httpStatusOfCode(code: ErrorCode): number {
  return entries.get(code)?.status ?? 500;
}
