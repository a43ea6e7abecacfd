import type { Actor, JobActor, Role, UserActor } from "./actor.ts";
import { type Permission, type Reach, reachOf } from "./permissions.ts";
import { scopeOf } from "./scopes.ts";

/** What a request is about. Every member that is named must belong to the actor. */
export interface Target {
  /** Namespace of a job or a secret, or the name of an organization; `null`: the whole instance. */
  readonly namespace?: string | null;
  /** Name of a user. */
  readonly user?: string;
  /** The namespaces that see a repository; `null`: everyone. */
  readonly visibleTo?: readonly string[] | null;
  readonly queue?: string;
  readonly job?: number;
  readonly attempt?: number;
  readonly executor?: string;
  readonly repository?: string;
  readonly commit?: string;
}

/**
 * Why a request is refused.
 *
 * - `no-credentials`: the sender is anonymous
 * - `not-permitted`: the role doesn't have the permission
 * - `missing-scope`: the access token doesn't permit this, whatever its owner may do
 * - `no-job-token`: the shared secret was sent for a single job
 * - `attempt-ended`: the job's token is valid only while its attempt runs
 * - `hidden`: the actor must not learn that the target exists
 * - the name of the target's first member that belongs to another job
 */
export type Refusal =
  | "no-credentials"
  | "not-permitted"
  | "missing-scope"
  | "no-job-token"
  | "attempt-ended"
  | "hidden"
  | (typeof membersOfJob)[number];

const membersOfJob = [
  "queue",
  "job",
  "executor",
  "repository",
  "commit",
  "attempt",
] as const satisfies (keyof Target)[];

/**
 * Answers "may this actor do this to that?". Returns `null` if it may.
 * @param target Without it, answers whether the actor may do this to anything at all. The routes whose permission
 * reaches only the actor's own things must ask again with the target.
 */
export function refusalOf(actor: Actor, permission: Permission, target?: Target): Refusal | null {
  const reach = reachOf(roleOf(actor), permission);
  if (reach === null) return actor.kind === "anonymous" ? "no-credentials" : "not-permitted";
  if (!hasScope(actor, permission)) return "missing-scope";
  if (reach === "legacy") return actor.kind === "executor" && actor.legacy ? null : "no-job-token";
  if (target === undefined || reach === "all") return null;
  switch (actor.kind) {
    case "anonymous":
    case "administrator":
    case "executor":
      return null;
    case "user":
      return refusalOfUser(actor, permission, target);
    case "queue-executor":
      return target.queue === undefined ? "not-permitted" : target.queue === actor.queue ? null : "queue";
    case "job":
      return foreignMember(actor, target) ?? (reach === "running" && !actor.running ? "attempt-ended" : null);
    default:
      return actor satisfies never;
  }
}

/** Whether the actor's permission depends on the target, so that the route has to name it. */
export function dependsOnTarget(actor: Actor, permission: Permission): boolean {
  const reach: Reach | null = reachOf(roleOf(actor), permission);
  return reach === "own" || reach === "running";
}

/** The namespaces in which the actor has the permission; `null`: all. */
export function namespacesOf(actor: Actor, permission: Permission): readonly string[] | null {
  if (actor.kind !== "user") return refusalOf(actor, permission) === null ? null : [];
  return [...actor.namespaces].flatMap(([name, role]) => (reachOf(role, permission) === null ? [] : [name]));
}

function hasScope(actor: Actor, permission: Permission): boolean {
  const scopes = actor.kind === "user" || actor.kind === "administrator" ? actor.user?.scopes : null;
  if (!scopes) return true;
  const scope = scopeOf(permission);
  return scope !== null && scopes.has(scope);
}

/** Every user is the owner of a namespace, which has the user's name. Other roles depend on the target. */
function roleOf(actor: Actor): Role {
  return actor.kind === "user" ? "owner" : actor.kind;
}

function refusalOfUser({ user, namespaces }: UserActor, permission: Permission, target: Target): Refusal | null {
  const { namespace, visibleTo } = target;
  if (target.user !== undefined && target.user !== user.name) return "hidden";
  if (visibleTo && !visibleTo.some((name) => namespaces.has(name))) return "hidden";
  if (namespace === undefined) return target.user === undefined && visibleTo === undefined ? "hidden" : null;
  if (namespace === null) return "not-permitted";
  const role = namespaces.get(namespace);
  if (role === undefined) return "hidden";
  return reachOf(role, permission) === null ? "not-permitted" : null;
}

function foreignMember(actor: JobActor, target: Target): (typeof membersOfJob)[number] | null {
  return membersOfJob.find((member) => target[member] !== undefined && target[member] !== actor[member]) ?? null;
}
