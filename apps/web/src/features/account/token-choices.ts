import type { TokenScope } from "@airlock/api";

export const scopeWords: Readonly<Record<TokenScope, string>> = {
  read: "reading everything that you see",
  jobs: "submitting, canceling and retrying jobs",
  secrets: "setting and deleting secrets",
  repositories: "adding, changing and removing repositories",
  administration: "changing users, organizations, members, queues, executors and keys",
};

/** How long a token is valid, in days; `0`: forever. */
export const lifetimes: readonly { readonly label: string; readonly value: string }[] = [
  { label: "7 days", value: "7" },
  { label: "30 days", value: "30" },
  { label: "90 days", value: "90" },
  { label: "1 year", value: "365" },
  { label: "no expiry", value: "0" },
];

/** The value of the API for a lifetime. */
export function expiryOf(days: string, nowMs: number): string | null {
  return days === "0" ? null : new Date(nowMs + Number(days) * 86_400_000).toISOString();
}
