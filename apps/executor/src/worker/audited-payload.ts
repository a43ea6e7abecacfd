import type { DequeuedJob } from "../instance-client/dequeued-job.ts";

/** What the audit log holds of a job: its payload without the job's token, registry credentials and redacted values. */
export function auditedPayload({ payload }: DequeuedJob): unknown {
  const { token: _token, dockerAuthConfig: _auth, redactedValues, ...rest } = payload;
  // Longest first: one value may be a part of another one.
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
