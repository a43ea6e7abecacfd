import { type Actor, type JobActor, roleOf } from "./actor.ts";
import { type Permission, reachOf } from "./permissions.ts";

/** What a request is about. Every member that is named must belong to the actor. */
export interface Target {
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
 * - `no-job-token`: the shared secret was sent for a single job
 * - `attempt-ended`: the job's token is valid only while its attempt runs
 * - the name of the target's first member that belongs to somebody else
 */
export type Refusal = "no-credentials" | "not-permitted" | "no-job-token" | "attempt-ended" | keyof Target;

/**
 * Answers "may this actor do this to that?". Returns `null` if it may.
 * @param target Without it, answers whether the actor may do this to anything at all. The routes whose permission
 * reaches only the actor's own things must ask again with the target.
 */
export function refusalOf(actor: Actor, permission: Permission, target?: Target): Refusal | null {
  const reach = reachOf(roleOf(actor), permission);
  if (reach === null) return actor.kind === "anonymous" ? "no-credentials" : "not-permitted";
  switch (actor.kind) {
    case "anonymous":
    case "administrator":
      return null;
    case "executor":
      return reach === "legacy" && !actor.legacy ? "no-job-token" : null;
    case "job": {
      if (target === undefined || reach === "all") return null;
      const foreign = foreignMember(actor, target);
      if (foreign !== null) return foreign;
      return reach === "running" && !actor.running ? "attempt-ended" : null;
    }
    default:
      return actor satisfies never;
  }
}

/** Whether the actor's permission depends on the target, so that the route has to name it. */
export function dependsOnTarget(actor: Actor, permission: Permission): boolean {
  const reach = reachOf(roleOf(actor), permission);
  return reach === "own" || reach === "running";
}

const members = ["queue", "job", "executor", "repository", "commit", "attempt"] as const satisfies (keyof Target)[];

function foreignMember(actor: JobActor, target: Target): keyof Target | null {
  return members.find((member) => target[member] !== undefined && target[member] !== actor[member]) ?? null;
}
