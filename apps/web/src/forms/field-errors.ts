import { asSentence } from "../api-client/error-words.ts";
import { ApiRequestError } from "../api-client/http.ts";
import { issuesByField } from "./issues.ts";

export interface FieldErrors {
  /** Problems by field. */
  readonly fields: ReadonlyMap<string, string>;
  /** The error, if no field shows it. */
  readonly note: unknown;
}

/** The field that an error code is about. */
export interface FieldOfCode {
  readonly field: string;
  /** Default: the API's message. */
  readonly message?: string;
  /** What to do next on this page. Default: the API's hint. */
  readonly hint?: string;
}

/**
 * Shows a refused request at the fields that it is about.
 * @param ofCodes The fields of errors that don't list issues.
 */
export function fieldErrors(
  error: unknown,
  fields: readonly string[],
  ofCodes: Readonly<Record<string, FieldOfCode>> = {},
): FieldErrors {
  if (error === null || error === undefined) return { fields: new Map(), note: undefined };
  if (!(error instanceof ApiRequestError)) return { fields: new Map(), note: error };
  const known = ofCodes[error.code];
  if (known !== undefined) {
    const words = [known.message ?? asSentence(error.message), known.hint ?? error.hint ?? ""].join(" ").trim();
    return { fields: new Map([[known.field, words]]), note: undefined };
  }
  const issues = issuesByField(error.issues, fields);
  return { fields: issues.fields, note: issues.fields.size === 0 || issues.others.length > 0 ? error : undefined };
}
