/** Parameters of the audit log's route that the page offers. */
export const auditFields = ["actor", "action", "namespace", "since", "until"] as const;
export type AuditField = (typeof auditFields)[number];
export type AuditFilter = Readonly<Record<AuditField, string>>;

/** Reads the filter of the page's address. Other parameters are ignored. */
export function auditFilter(search: URLSearchParams): AuditFilter {
  const read = (field: AuditField) => search.get(field)?.trim() ?? "";
  return {
    actor: read("actor"),
    action: read("action"),
    namespace: read("namespace"),
    since: read("since"),
    until: read("until"),
  };
}

export function auditSearch(filter: AuditFilter): URLSearchParams {
  return new URLSearchParams(auditFields.flatMap((field) => (filter[field] === "" ? [] : [[field, filter[field]]])));
}

/** The value of a `datetime-local` field, in the reader's time zone; empty if the text is not a time. */
export function localTime(iso: string): string {
  const at = new Date(iso);
  if (iso === "" || Number.isNaN(at.getTime())) return "";
  return new Date(at.getTime() - at.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}

/** The time of a `datetime-local` field; empty if the field is empty or not filled in completely. */
export function isoTime(local: string): string {
  const at = new Date(local);
  return local === "" || Number.isNaN(at.getTime()) ? "" : at.toISOString();
}
