import type { DequeuedJob } from "../instance-client/dequeued-job.ts";

/** What the audit log contains of a job: its payload without the token, registry credentials and secrets. */
export function auditedPayload({ payload }: DequeuedJob): unknown {
  const { token: _token, dockerAuthConfig: _auth, redactedValues, ...rest } = payload;
  // Longest first, because one value may be part of another.
  const secrets = Object.entries(redactedValues).sort(([a], [b]) => b.length - a.length);
  const redacted = (value: unknown): unknown => {
    if (typeof value === "string") return secrets.reduce((text, [secret, name]) => replaced(text, secret, name), value);
    if (Array.isArray(value)) return value.map(redacted);
    if (typeof value !== "object" || value === null) return value;
    return Object.fromEntries(Object.entries(value).map(([key, member]) => [redacted(key), redacted(member)]));
  };
  return redacted(rest);
}

function replaced(text: string, secret: string, name: string): string {
  return secret === "" ? text : text.replaceAll(secret, () => name);
}
