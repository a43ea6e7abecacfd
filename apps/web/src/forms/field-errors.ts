import { ApiRequestError } from "../api-client/http.ts";
import { issuesByField } from "./issues.ts";

export interface FieldErrors {
  /** Problems by field. */
  readonly fields: ReadonlyMap<string, string>;
  /** The error, if no field shows it. */
  readonly note: unknown;
}

/**
 * Shows a refused request at the fields that it is about.
 * @param ofCodes The field that an error code is about, for errors that don't list issues.
 */
export function fieldErrors(
  error: unknown,
  fields: readonly string[],
  ofCodes: Readonly<Record<string, string>> = {},
): FieldErrors {
  if (error === null || error === undefined) return { fields: new Map(), note: undefined };
  if (!(error instanceof ApiRequestError)) return { fields: new Map(), note: error };
  const field = ofCodes[error.code];
  if (field !== undefined) {
    const hint = error.hint === undefined ? "" : ` ${error.hint}`;
    return { fields: new Map([[field, `${sentence(error.message)}${hint}`]]), note: undefined };
  }
  const issues = issuesByField(error.issues, fields);
  return { fields: issues.fields, note: issues.fields.size === 0 || issues.others.length > 0 ? error : undefined };
}

function sentence(text: string): string {
  const capital = `${text.slice(0, 1).toUpperCase()}${text.slice(1)}`;
  return /[.!?]$/.test(capital) ? capital : `${capital}.`;
}
