/** The address of a REST route. Values are encoded, so a name with a slash stays one segment. */
export function restPath(parts: TemplateStringsArray, ...values: readonly (string | number)[]): string {
  return `/api/v1${String.raw({ raw: parts }, ...values.map((value) => encodeURIComponent(value)))}`;
}

/** A page of a list that is sorted by name. */
export interface AccountPage {
  /** Part of the name or the display name; empty: all. */
  readonly text: string;
  /** `next` of the previous page. */
  readonly after: string | null;
}

export function accountPageSearch({ text, after }: AccountPage): URLSearchParams {
  const search = new URLSearchParams({ limit: "100" });
  if (text !== "") search.set("text", text);
  if (after !== null) search.set("after", after);
  return search;
}
