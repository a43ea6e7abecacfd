/** What an executor of the base protocol calls itself. The protocol changed with versions, not with capabilities. */
export type ExecutorVersion =
  /** Executors before 4.3 send no version with a dequeue. */
  | { readonly kind: "none" }
  | { readonly kind: "release"; readonly major: number; readonly minor: number }
  /** An insiders build, by its date `YYYY-MM-DD`. */
  | { readonly kind: "build"; readonly date: string }
  | { readonly kind: "development" };

/** `undefined`: the text is not a version. */
export function parseExecutorVersion(text: string | undefined): ExecutorVersion | undefined {
  if (!text) return { kind: "none" };
  if (text === "dev" || text === "0.0.0+dev") return { kind: "development" };
  const date = /^\d+_(\d{4}-\d{2}-\d{2})_(?:\d+\.\d+-)?[0-9a-f]+$/.exec(text)?.[1];
  if (date !== undefined) return { kind: "build", date };
  const release = /^v?(\d+)\.(\d+)\.\d+(?:[-+].*)?$/.exec(text);
  return release ? { kind: "release", major: Number(release[1]), minor: Number(release[2]) } : undefined;
}

/** Version of the job payload that the executor reads: 2 from 4.3.0 on. */
export function payloadVersion(version: ExecutorVersion): 1 | 2 {
  return isAtLeast(version, 4, 3, "2022-11-24") ? 2 : 1;
}

/**
 * Whether the executor uses job tokens, and reads job ids as text: from 5.0 on. Older ones call routes of a job with the
 * shared secret, and take an answer with ids as text for one that knows none of their jobs.
 */
export function usesJobTokens(version: ExecutorVersion): boolean {
  return isAtLeast(version, 5, 0, "2023-02-01");
}

function isAtLeast(version: ExecutorVersion, major: number, minor: number, date: string): boolean {
  switch (version.kind) {
    case "none":
      return false;
    case "development":
      return true;
    case "build":
      return version.date >= date;
    case "release":
      return version.major > major || (version.major === major && version.minor >= minor);
  }
}
