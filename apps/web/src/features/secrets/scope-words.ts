interface Scope {
  readonly namespace: string | null;
  readonly queue: string | null;
}

/** The scope of a secret in words: `namespace team-a, queue nightly`. */
export function scopeWords({ namespace, queue }: Scope): string {
  const parts = [namespace === null ? "" : `namespace ${namespace}`, queue === null ? "" : `queue ${queue}`];
  return parts.filter((part) => part !== "").join(", ") || "all jobs";
}
