import type { OrganizationRole, TokenScope } from "@airlock/api";

/** The identity of a request's sender, as its credentials prove it. */
export type Actor =
  | { readonly kind: "anonymous" }
  | AdministratorActor
  | UserActor
  /** Any executor, by the shared secret. */
  | ExecutorActor
  | QueueExecutorActor
  | JobActor;

/** A user, by a session or an access token. */
export interface UserIdentity {
  readonly id: number;
  readonly name: string;
  /** `null`: the request has an access token. */
  readonly session: number | null;
  /** `null`: the request has a session. */
  readonly token: number | null;
  /** What the access token permits; `null`: the request has a session, which permits everything. */
  readonly scopes: ReadonlySet<TokenScope> | null;
}

interface AdministratorActor {
  readonly kind: "administrator";
  readonly via: "token" | "session";
  /** `null`: the administrator's token, or a session that was begun with it. */
  readonly user: UserIdentity | null;
  /** Id of a session that was begun with the administrator's token. */
  readonly session?: string;
}

/** A user who is not an administrator. */
export interface UserActor {
  readonly kind: "user";
  readonly via: "token" | "session";
  readonly user: UserIdentity;
  /** The user's role in each namespace that the user sees: organizations, and the namespace of the user's own name. */
  readonly namespaces: ReadonlyMap<string, OrganizationRole>;
}

export interface ExecutorActor {
  readonly kind: "executor";
  /** The instance accepts the shared secret on the routes of single jobs, for executors without job tokens. */
  readonly legacy: boolean;
}

/** Any executor of one queue, by one of the queue's executor tokens. */
export interface QueueExecutorActor {
  readonly kind: "queue-executor";
  readonly token: number;
  readonly queue: string;
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

/** The columns of the table of routes. A user has the role `viewer`, `member` or `owner` in each of several namespaces. */
export const roles = [
  "anonymous",
  "viewer",
  "member",
  "owner",
  "administrator",
  "executor",
  "queue-executor",
  "job",
] as const;
export type Role = (typeof roles)[number];
