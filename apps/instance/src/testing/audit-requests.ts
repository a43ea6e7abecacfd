import { type AuditEntryView, AuditPage } from "@airlock/api";
import { expect } from "vitest";
import type { TestInstance } from "./test-instance.ts";

interface PageRequest {
  readonly method: string;
  readonly path: string;
  /** Empty: none. */
  readonly cookie: string;
  readonly body?: object | undefined;
  readonly headers?: Record<string, string> | undefined;
}

/** Sends a request as a page of the web UI does. */
export async function requestAsPage(
  target: TestInstance,
  { method, path, cookie, body, headers }: PageRequest,
): Promise<Response> {
  return fetch(`${target.url}/api/v1${path}`, {
    method,
    headers: {
      "sec-fetch-site": "same-origin",
      ...(cookie === "" ? {} : { cookie }),
      ...(body === undefined ? {} : { "content-type": "application/json" }),
      ...headers,
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
}

/** The newest entries of the audit log. */
export async function readAuditLog(
  target: TestInstance,
  query = "",
  headers: Record<string, string> = {},
): Promise<AuditEntryView[]> {
  const response = await target.rest("GET", `/audit?limit=200${query}`, undefined, headers);
  expect(response.status).toBe(200);
  return AuditPage.parse(await response.json()).entries;
}
