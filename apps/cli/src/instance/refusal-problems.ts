import { parseIssueLine, type SpecProblem } from "../job-file/spec-problem.ts";
import { RequestError } from "./request-error.ts";

/** The field that a refusal without issues is about, by its code. */
const fieldByCode: Readonly<Record<string, string>> = {
  "unknown-repository": "repository",
  "unknown-revision": "revision",
  "unknown-queue": "queue",
};

/** What an instance found wrong with a submitted job, by field; `undefined` when the error is about something else. */
export function refusalProblems(error: unknown): readonly SpecProblem[] | undefined {
  if (!(error instanceof RequestError) || error.status < 400 || error.status >= 500 || error.status === 401)
    return undefined;
  if (error.issues.length > 0) {
    const [help] = error.issues.length === 1 && error.hint ? [error.hint] : [];
    return error.issues.map(parseIssueLine).map((problem) => ({
      ...problem,
      // Adding a repository has its own field for it.
      path: problem.path[0] === "url" ? ["repository"] : problem.path,
      ...(help === undefined ? {} : { help }),
    }));
  }
  const field = fieldByCode[error.code];
  if (field === undefined) return undefined;
  const { message, hint } = error;
  return [{ path: [field], target: "value", message, ...(hint === undefined ? {} : { help: hint }) }];
}
