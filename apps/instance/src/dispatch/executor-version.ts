/**
 * The version that an executor of the base protocol reports. The protocol changed with versions and has no
 * capabilities.
 */
export type ExecutorVersion =
  /** Executors before 4.3 send no version when they dequeue. */
  | { readonly kind: "none" }
  | { readonly kind: "release"; readonly major: number; readonly minor: number }
  /** An insiders build, identified by its date `YYYY-MM-DD`. */
  | { readonly kind: "build"; readonly date: string }
  | { readonly kind: "development" };

/** Returns `undefined` if the text is not a version. */
export function parseExecutorVersion(text: string | undefined): ExecutorVersion | undefined {
  if (!text) return { kind: "none" };
  if (text === "dev" || text === "0.0.0+dev") return { kind: "development" };
  const date = /^\d+_(\d{4}-\d{2}-\d{2})_(?:\d+\.\d+-)?[0-9a-f]+$/.exec(text)?.[1];
  if (date !== undefined) return { kind: "build", date };
  const release = /^v?(\d+)\.(\d+)\.\d+(?:[-+].*)?$/.exec(text);
  return release ? { kind: "release", major: Number(release[1]), minor: Number(release[2]) } : undefined;
}

/** Version of the job payload that the executor reads: 2 since 4.3.0. */
export function payloadVersion(version: ExecutorVersion): 1 | 2 {
  return isAtLeast(version, 4, 3, "2022-11-24") ? 2 : 1;
}

/**
 * Whether the executor uses job tokens and reads job ids as text: since 5.0. Older ones call a job's routes with the
 * shared secret. They don't recognize ids sent as text, and conclude that the instance knows none of their jobs.
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
