import type { Role } from "./actor.ts";

/**
 * How far a role's permission reaches.
 *
 * - `all`: every target
 * - `own`: only what belongs to the actor. For an executor token: its queue. For a job: its own job, attempt, queue, executor and repository. For a user:
 *   what belongs to a namespace in which the user has the role
 * - `running`: like `own`, and only until the attempt ends
 * - `legacy`: every target, if the instance accepts the shared secret for single jobs
 */
export type Reach = "all" | "own" | "running" | "legacy";

type Reaches = Readonly<Partial<Record<Role, Reach>>>;

const everyone = {
  anonymous: "all",
  viewer: "all",
  member: "all",
  owner: "all",
  administrator: "all",
  executor: "all",
  "queue-executor": "all",
  job: "all",
} satisfies Reaches;
const administrator = { administrator: "all" } satisfies Reaches;
const owners = { owner: "own", ...administrator } satisfies Reaches;
const members = { member: "own", ...owners } satisfies Reaches;
const viewers = { viewer: "own", ...members } satisfies Reaches;
const signedIn = { viewer: "all", member: "all", owner: "all", ...administrator } satisfies Reaches;
const executor = { executor: "all", "queue-executor": "own" } satisfies Reaches;
const attempt = { job: "own", executor: "legacy" } satisfies Reaches;
const runningAttempt = { job: "running", executor: "legacy" } satisfies Reaches;

/** All permissions, and the roles that have each. A role that is not named is refused. */
export const permissions = {
  "instance.read-health": everyone,
  "instance.read-metrics": everyone,
  "instance.read-description": everyone,
  "instance.set-up": administrator,
  "web.read": everyone,

  "session.list-methods": everyone,
  "session.begin": everyone,
  "session.end": everyone,
  "session.read": signedIn,
  "password.use-link": everyone,
  "password.create-link": administrator,
  // These are about the caller's own account. The administrator's token has none.
  "account.list-sessions": signedIn,
  "account.end-session": signedIn,
  "account.change-password": signedIn,
  "account.list-identities": signedIn,
  "account.link-identity": signedIn,
  "account.list-tokens": signedIn,
  "account.create-token": signedIn,
  "account.delete-token": signedIn,
  "account.confirm-login": signedIn,

  "job.submit": members,
  "job.list": viewers,
  "job.read": viewers,
  "job.cancel": members,
  "job.retry": members,
  "log.read": viewers,
  "artifact.list": viewers,
  "artifact.read": viewers,
  "event.read": viewers,

  "repository.list": viewers,
  "repository.read": viewers,
  "repository.add": administrator,
  "repository.update": administrator,
  "repository.refresh": administrator,
  "repository.remove": administrator,

  "executor.list": administrator,
  "executor.drain": administrator,
  "executor.pause": administrator,
  "executor.resume": administrator,

  "executor-token.list": administrator,
  "executor-token.create": administrator,
  "executor-token.rotate": administrator,
  "executor-token.revoke": administrator,

  "queue.list": viewers,
  "queue.read": viewers,
  "queue.create": administrator,
  "queue.update": administrator,
  "queue.delete": administrator,

  // A job of a member can print the secrets of its namespace, so members may know their names.
  "secret.list": members,
  "secret.set": owners,
  "secret.delete": owners,
  "secret.read-audit": owners,
  "secret.rotate-keys": administrator,

  // Their receivers learn about all jobs of the namespace.
  "webhook.list": owners,
  "webhook.create": owners,
  "webhook.update": owners,
  "webhook.delete": owners,
  "webhook.list-deliveries": owners,
  "webhook.repeat-delivery": owners,

  // Administrators read everything. Owners read what is about their organizations and their own account.
  "audit.read": owners,

  "user.list": administrator,
  "user.create": administrator,
  "user.read": viewers,
  "user.update": administrator,
  "user.set-identity": administrator,
  "user.list-sessions": administrator,
  "user.end-session": administrator,
  "user.list-tokens": administrator,
  "user.delete-token": administrator,
  "organization.list": viewers,
  "organization.create": administrator,
  "organization.read": viewers,
  "organization.update": owners,
  "organization.delete": administrator,
  "member.list": viewers,
  "member.set": owners,
  "organization.leave": { viewer: "own", member: "own", owner: "own" },
  "member.remove": owners,

  "executor.connect": { executor: "all", "queue-executor": "all" },
  "executor.dequeue": executor,
  "executor.heartbeat": executor,
  "executor.read-events": executor,

  "attempt.write-log": attempt,
  "attempt.end": attempt,
  "attempt.store-artifact": attempt,
  "attempt.read-file": runningAttempt,
  "attempt.fetch-repository": runningAttempt,
  "index.upload": { administrator: "all", job: "running" },
  "index.upload-as-executor": { executor: "all", job: "running" },
} as const satisfies Readonly<Record<string, Reaches>>;

export type Permission = keyof typeof permissions;

/** `null`: the role is refused. */
export function reachOf(role: Role, permission: Permission): Reach | null {
  const reaches: Reaches = permissions[permission];
  return reaches[role] ?? null;
}
