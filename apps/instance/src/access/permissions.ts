import type { Role } from "./actor.ts";

/**
 * How far a role's permission reaches.
 *
 * - `all`: every target
 * - `own`: only what belongs to the actor. For a job: its own job, attempt, queue, executor and repository
 * - `running`: like `own`, and only until the attempt ends
 * - `legacy`: every target, if the instance accepts the shared secret for single jobs
 */
export type Reach = "all" | "own" | "running" | "legacy";

type Reaches = Readonly<Partial<Record<Role, Reach>>>;

const everyone = { anonymous: "all", administrator: "all", executor: "all", job: "all" } satisfies Reaches;
const administrator = { administrator: "all" } satisfies Reaches;
const executor = { executor: "all" } satisfies Reaches;
const attempt = { job: "own", executor: "legacy" } satisfies Reaches;
const runningAttempt = { job: "running", executor: "legacy" } satisfies Reaches;

/** All permissions, and the roles that have each. A role that is not named is refused. */
export const permissions = {
  "instance.read-health": everyone,
  "instance.read-metrics": everyone,
  "instance.read-description": everyone,
  "web.read": everyone,

  "session.begin": everyone,
  "session.end": everyone,
  "session.read": administrator,

  "job.submit": administrator,
  "job.list": administrator,
  "job.read": administrator,
  "job.cancel": administrator,
  "job.retry": administrator,
  "log.read": administrator,
  "artifact.list": administrator,
  "artifact.read": administrator,
  "event.read": administrator,

  "repository.list": administrator,
  "repository.read": administrator,
  "repository.add": administrator,
  "repository.refresh": administrator,
  "repository.remove": administrator,

  "executor.list": administrator,
  "executor.drain": administrator,
  "executor.resume": administrator,

  "queue.list": administrator,
  "queue.read": administrator,
  "queue.create": administrator,
  "queue.update": administrator,

  "secret.list": administrator,
  "secret.set": administrator,
  "secret.delete": administrator,
  "secret.read-audit": administrator,
  "secret.rotate-keys": administrator,

  "user.list": administrator,
  "user.create": administrator,
  "user.read": administrator,
  "user.update": administrator,
  "organization.list": administrator,
  "organization.create": administrator,
  "organization.read": administrator,
  "organization.update": administrator,
  "member.list": administrator,
  "member.set": administrator,
  "member.remove": administrator,

  "executor.connect": executor,
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
