import { describe, expect, it } from "vitest";
import type { Actor, JobActor, UserActor } from "./actor.ts";
import { dependsOnTarget, namespacesOf, refusalOf, type Target } from "./may.ts";
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
    const ofQueue = { kind: "queue-executor", token: 1, queue: "batches" } as const;
    expect(refusalOf(ofQueue, "executor.dequeue", { queue: "batches" })).toBeNull();
    expect(refusalOf(ofQueue, "executor.dequeue", { queue: "other" })).toBe("queue");
    expect(refusalOf(ofQueue, "executor.dequeue", {})).toBe("not-permitted");
    expect(refusalOf(ofQueue, "attempt.end", mine)).toBe("not-permitted");
  });

  it("refuses every role that a permission does not name", () => {
    const actors: readonly Actor[] = [
      { kind: "anonymous" },
      { kind: "administrator", via: "token", user: null },
      { kind: "executor", legacy: true },
      job,
    ];
    for (const permission of Object.keys(permissions) as (keyof typeof permissions)[]) {
      for (const actor of actors) {
        const role = actor.kind === "user" ? "owner" : actor.kind;
        const allowed = reachOf(role, permission) !== null;
        expect(refusalOf(actor, permission, mine) === null, `${actor.kind} ${permission}`).toBe(allowed);
      }
    }
  });

  it("says which permissions need a target", () => {
    expect(dependsOnTarget(job, "attempt.end")).toBe(true);
    expect(dependsOnTarget({ kind: "executor", legacy: true }, "attempt.end")).toBe(false);
    expect(dependsOnTarget({ kind: "administrator", via: "session", user: null }, "job.read")).toBe(false);
  });

  describe("for a user", () => {
    const ann: UserActor = {
      kind: "user",
      via: "session",
      user: { id: 1, name: "ann", session: 1, token: null, scopes: null },
      namespaces: new Map([
        ["ann", "owner"],
        ["crew", "member"],
        ["press", "viewer"],
      ]),
    };

    it("depends on the role in the target's namespace", () => {
      const namespaces = ["ann", "crew", "press", "others", null];
      const answers = (permission: "job.read" | "job.cancel" | "secret.set") =>
        namespaces.map((namespace) => refusalOf(ann, permission, { namespace }));
      expect(answers("job.read")).toEqual([null, null, null, "hidden", "not-permitted"]);
      expect(answers("job.cancel")).toEqual([null, null, "not-permitted", "hidden", "not-permitted"]);
      expect(answers("secret.set")).toEqual([null, "not-permitted", "not-permitted", "hidden", "not-permitted"]);
    });

    it("lists the namespaces in which the user has a permission", () => {
      expect(namespacesOf(ann, "job.list")).toEqual(["ann", "crew", "press"]);
      expect(namespacesOf(ann, "secret.list")).toEqual(["ann", "crew"]);
      expect(namespacesOf(ann, "secret.read-audit")).toEqual(["ann"]);
      expect(namespacesOf(ann, "executor.list")).toEqual([]);
      expect(namespacesOf({ kind: "administrator", via: "token", user: null }, "job.list")).toBeNull();
    });

    it("hides repositories that none of the user's organizations sees", () => {
      expect(refusalOf(ann, "repository.read", { visibleTo: null })).toBeNull();
      expect(refusalOf(ann, "repository.read", { visibleTo: ["others", "press"] })).toBeNull();
      expect(refusalOf(ann, "repository.read", { visibleTo: ["others"] })).toBe("hidden");
      expect(refusalOf(ann, "repository.read", { visibleTo: [] })).toBe("hidden");
      expect(refusalOf(ann, "job.submit", { namespace: "crew", visibleTo: ["others"] })).toBe("hidden");
      expect(refusalOf(ann, "job.submit", { namespace: "others", visibleTo: ["crew"] })).toBe("hidden");
      expect(refusalOf(ann, "job.submit", { namespace: "press", visibleTo: ["crew"] })).toBe("not-permitted");
    });

    it("is limited by the scopes of an access token", () => {
      const token: UserActor = {
        ...ann,
        via: "token",
        user: { ...ann.user, session: null, token: 1, scopes: new Set(["read"]) },
      };
      expect(refusalOf(token, "job.read", { namespace: "crew" })).toBeNull();
      expect(refusalOf(token, "job.read", { namespace: "others" })).toBe("hidden");
      expect(refusalOf(token, "job.submit", { namespace: "crew" })).toBe("missing-scope");
      expect(refusalOf(token, "account.list-sessions")).toBe("missing-scope");
    });

    it("shows the user's own account and no other", () => {
      expect(refusalOf(ann, "user.read", { user: "ann" })).toBeNull();
      expect(refusalOf(ann, "user.read", { user: "bob" })).toBe("hidden");
    });

    it("refuses a target that names nothing of the user", () => {
      expect(refusalOf(ann, "job.read", {})).toBe("hidden");
      expect(refusalOf(ann, "job.read", { job: 7 })).toBe("hidden");
      expect(refusalOf(ann, "queue.create")).toBe("not-permitted");
    });
  });
});
