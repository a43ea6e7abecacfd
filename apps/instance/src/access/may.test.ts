import { describe, expect, it } from "vitest";
import { type Actor, type JobActor, roles } from "./actor.ts";
import { dependsOnTarget, refusalOf, type Target } from "./may.ts";
import { permissions, reachOf } from "./permissions.ts";

const job: JobActor = {
  kind: "job",
  job: 7,
  attempt: 2,
  queue: "batches",
  repository: "app",
  commit: "c0ffee",
  executor: "one",
  running: true,
};
const ended: JobActor = { ...job, running: false };
const mine: Target = { job: 7, attempt: 2, queue: "batches", repository: "app", commit: "c0ffee", executor: "one" };

describe("may an actor do something", () => {
  it("lets a job's token act for its own job, and names what belongs to another", () => {
    expect(refusalOf(job, "attempt.write-log", mine)).toBeNull();
    const foreign: Target = { job: 8, attempt: 1, queue: "other", repository: "lib", commit: "bad", executor: "two" };
    for (const member of Object.keys(foreign) as (keyof Target)[]) {
      expect(refusalOf(job, "attempt.write-log", { ...mine, [member]: foreign[member] })).toBe(member);
    }
  });

  it("takes a job without a repository for a stranger to every repository", () => {
    expect(refusalOf({ ...job, repository: null }, "attempt.fetch-repository", { repository: "app" })).toBe(
      "repository",
    );
  });

  it("lets the token of an ended attempt report, but no longer read", () => {
    expect(refusalOf(ended, "attempt.end", mine)).toBeNull();
    expect(refusalOf(ended, "attempt.read-file", mine)).toBe("attempt-ended");
    expect(refusalOf(ended, "attempt.fetch-repository", { repository: "lib" })).toBe("repository");
  });

  it("takes the shared secret for a single job only where the instance allows that", () => {
    expect(refusalOf({ kind: "executor", legacy: false }, "attempt.end", mine)).toBe("no-job-token");
    expect(refusalOf({ kind: "executor", legacy: true }, "attempt.end", mine)).toBeNull();
    expect(refusalOf({ kind: "executor", legacy: false }, "executor.dequeue")).toBeNull();
  });

  it("refuses every role that a permission does not name", () => {
    const actors: readonly Actor[] = [
      { kind: "anonymous" },
      { kind: "administrator", via: "token" },
      { kind: "executor", legacy: true },
      job,
    ];
    expect(actors.map((actor) => actor.kind)).toEqual(roles);
    for (const permission of Object.keys(permissions) as (keyof typeof permissions)[]) {
      for (const actor of actors) {
        const allowed = reachOf(actor.kind, permission) !== null;
        expect(refusalOf(actor, permission, mine) === null, `${actor.kind} ${permission}`).toBe(allowed);
      }
    }
  });

  it("says which permissions need a target", () => {
    expect(dependsOnTarget(job, "attempt.end")).toBe(true);
    expect(dependsOnTarget({ kind: "executor", legacy: true }, "attempt.end")).toBe(false);
    expect(dependsOnTarget({ kind: "administrator", via: "session" }, "job.read")).toBe(false);
  });
});
