/** The identity of a request's sender, as its credentials prove it. */
export type Actor =
  | { readonly kind: "anonymous" }
  /** The administrator's token, or a session that was begun with it. */
  | { readonly kind: "administrator"; readonly via: "token" | "session" }
  /** Any executor, by the shared secret. */
  | ExecutorActor
  | JobActor;

export interface ExecutorActor {
  readonly kind: "executor";
  /** The instance accepts the shared secret on the routes of single jobs, for executors without job tokens. */
  readonly legacy: boolean;
}

/** One attempt of a job, by the token that its executor got with the job. */
export interface JobActor {
  readonly kind: "job";
  readonly job: number;
  readonly attempt: number;
  readonly queue: string;
  readonly repository: string | null;
  readonly commit: string | null;
  readonly executor: string;
  /** The attempt has not ended. */
  readonly running: boolean;
}

/** The columns of the table of routes. */
export const roles = ["anonymous", "administrator", "executor", "job"] as const;
export type Role = (typeof roles)[number];

export function roleOf(actor: Actor): Role {
  return actor.kind;
}
