import { AuditPage } from "@airlock/api";
import { type Abortable, requestJson } from "./http.ts";
import { restPath } from "./rest-path.ts";

/**
 * Reads a page of the audit log, newest entries first.
 * @param filters Parameters of the route, such as `actor`.
 * @param before `next` of the previous page.
 */
export function readAudit(filters: URLSearchParams, before: number | null, options?: Abortable) {
  const search = new URLSearchParams(filters);
  search.set("limit", "100");
  if (before !== null) search.set("before", String(before));
  return requestJson(AuditPage, `${restPath`/audit`}?${search}`, options);
}

/** Path of a download with all entries that match the filters. */
export const auditExportPath = (filters: URLSearchParams) => `${restPath`/audit/export`}?${filters}`;
