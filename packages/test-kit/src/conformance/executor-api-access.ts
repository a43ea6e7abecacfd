import { describe, expect, it } from "vitest";
import type { ExecutorPeer } from "./executor-peer.ts";

/** Tests which credentials open which routes. Part of `describeExecutorApi`. */
export function describeAccess(peer: ExecutorPeer): void {
  const { secret, post, jobHeaders, newExecutor, takeJob, finish } = peer;

  describe("shared secret (group A)", () => {
    it.each([
      ["no header", {}],
      ["an empty token", { authorization: "token-executor " }],
      ["one word", { authorization: "token-executor" }],
      ["three parts", { authorization: "token-executor a b" }],
      ["another scheme", { authorization: "Basic eA==" }],
      ["a wrong secret", { authorization: "token-executor wrong-wrong-wrong-wrong" }],
    ])("answers 401 to %s", async (_title, headers) => {
      const response = await post("queue/batches/dequeue", { executorName: "x" }, headers as Record<string, string>);
      expect(response.status).toBe(401);
    });

    it("is accepted by the route that tests it", async () => {
      const response = await fetch(`${peer.target.url}/.executors/test/auth`, { headers: secret() });
      expect([response.status, (await response.text()).trim()]).toEqual([200, "ok"]);
    });

    it("does not prevent the redirect from a trailing slash to the path without it", async () => {
      const response = await fetch(`${peer.target.url}/.executors/test/auth/`, {
        headers: secret(),
        redirect: "manual",
      });
      expect([301, 308]).toContain(response.status);
      expect(new URL(response.headers.get("location") ?? "", peer.target.url).pathname).toBe("/.executors/test/auth");
    });
  });

  describe("job token (group B)", () => {
    it("is required wherever the protocol requires it, with the status codes of the protocol", async () => {
      const executorName = newExecutor();
      const job = await takeJob({ executorName });
      const other = await takeJob({ executorName });
      const good = jobHeaders(job, executorName);
      const body = {
        executorName,
        jobId: job.id,
        key: "setup.git.init",
        command: ["git", "init"],
        startTime: new Date().toISOString(),
      };
      const add = async (
        headers: Record<string, string>,
        path = "queue/batches/addExecutionLogEntry",
      ): Promise<number> => (await post(path, body, headers)).status;

      expect(await add({})).toBe(401);
      expect(await add({ ...good, authorization: `Basic ${job.token}` })).toBe(401);
      expect(await add({ ...good, authorization: "Bearer " })).toBe(401);
      expect(await add({ ...good, authorization: `Bearer ${"0".repeat(40)}` })).toBe(401);
      expect(await add({ authorization: good.authorization ?? "", "x-sourcegraph-executor-name": executorName })).toBe(
        400,
      );
      expect(await add({ ...good, "x-sourcegraph-job-id": "x" })).toBe(400);
      expect(await add({ ...good, "x-sourcegraph-executor-name": "" })).toBe(400);
      expect(await add({ ...good, "x-sourcegraph-job-id": String(other.id) })).toBe(403);
      expect(await add(good, "queue/codeintel/addExecutionLogEntry")).toBe(403);
      expect(await add({ authorization: "token-executor wrong-wrong-wrong-wrong" })).toBe(403);
      expect(await add(good)).toBe(200);

      await finish(job, executorName);
      await finish(other, executorName);
    });

    it("of one job does not allow writing to another job, whatever the body says", async () => {
      const executorName = newExecutor();
      const mine = await takeJob({ executorName });
      const theirs = await takeJob({ executorName: `${executorName}-victim` });
      const headers = jobHeaders(mine, executorName);
      for (const path of ["markComplete", "markFailed", "markErrored"]) {
        const response = await post(
          `queue/batches/${path}`,
          { executorName: `${executorName}-victim`, jobId: theirs.id },
          headers,
        );
        expect(response.status).toBeGreaterThanOrEqual(400);
      }
      expect(await peer.target.state(theirs.id)).toBe("processing");
      await finish(mine, executorName);
      await finish(theirs, `${executorName}-victim`);
    });

    it("expires when its job ends", async () => {
      const executorName = newExecutor();
      const job = await takeJob({ executorName });
      await finish(job, executorName);
      const again = await post(
        "queue/batches/markComplete",
        { executorName, jobId: job.id },
        jobHeaders(job, executorName),
      );
      expect([401, 404]).toContain(again.status);
      expect(await peer.target.state(job.id)).toBe("completed");
    });
  });

  describe("the shared secret on routes of a job", () => {
    const git = (name: string) =>
      fetch(`${peer.target.url}/.executors/git/${name}/info/refs?service=git-upload-pack`, { headers: secret() });
    const entry = { key: "setup.git.init", command: ["git", "init"], startTime: new Date().toISOString() };

    it("is accepted without further checks if the administrator lets old executors in, and refused otherwise", async () => {
      const opens = peer.target.sharedSecretOpensJobs;
      const executorName = newExecutor();
      const job = await takeJob({ executorName, repository: peer.target.repository.name });
      const body = { executorName, jobId: job.id, ...entry };
      // With and without the headers that accompany a token: some client versions always send them.
      const both = [secret(), { ...jobHeaders(job, executorName), ...secret() }];
      for (const [index, headers] of both.entries()) {
        const added = await post("queue/batches/addExecutionLogEntry", body, headers);
        expect([added.status, await added.text()]).toEqual(opens ? [200, `${index + 1}`] : [403, expect.any(String)]);
        const update = { ...body, entryId: 1, out: "stdout: one\n", exitCode: 0, durationMs: 1 };
        const updated = await post("queue/batches/updateExecutionLogEntry", update, headers);
        expect(updated.status).toBe(opens ? 204 : 403);
      }
      for (const name of [peer.target.repository.name, peer.target.otherRepository.name]) {
        const refs = await git(name);
        expect(refs.status).toBe(opens ? 200 : 403);
        await refs.arrayBuffer();
      }
      const file = await fetch(`${peer.target.url}/.executors/files/batch-changes/${job.id}/none`, {
        headers: secret(),
      });
      expect(file.status).toBe(opens ? 404 : 403);
      const done = await post("queue/batches/markComplete", body);
      expect(done.status).toBe(opens ? 204 : 403);
      expect(await peer.target.state(job.id)).toBe(opens ? "completed" : "processing");
      if (!opens) await finish(job, executorName);
    });

    it("is refused if it is wrong or comes with another authorization scheme", async () => {
      const executorName = newExecutor();
      const job = await takeJob({ executorName });
      const body = { executorName, jobId: job.id, ...entry };
      const add = async (authorization?: string): Promise<number> =>
        (await post("queue/batches/addExecutionLogEntry", body, authorization ? { authorization } : {})).status;
      expect(await add("token-executor wrong-wrong-wrong-wrong")).toBe(403);
      expect(await add(`token-executor ${peer.target.sharedSecret}x`)).toBe(403);
      expect(await add(`token-executor ${job.token}`)).toBe(403);
      expect(await add("token-executor ")).toBe(401);
      expect(await add("token-executor")).toBe(401);
      expect(await add(`token-executor ${peer.target.sharedSecret} x`)).toBe(401);
      expect(await add(`Basic ${peer.target.sharedSecret}`)).toBe(401);
      expect(await add()).toBe(401);
      const asToken = { ...jobHeaders(job, executorName), authorization: `Bearer ${peer.target.sharedSecret}` };
      expect((await post("queue/batches/markComplete", body, asToken)).status).toBe(401);
      await finish(job, executorName);
    });

    it("lets an executor write only to jobs that it holds", async () => {
      const executorName = newExecutor();
      const job = await takeJob({ executorName });
      const other = { executorName: newExecutor(), jobId: job.id, ...entry };
      for (const [path, whenOpen] of [
        ["markComplete", 404],
        ["markFailed", 404],
        ["addExecutionLogEntry", 500],
      ] as const) {
        const response = await post(`queue/batches/${path}`, { ...other, errorMessage: "x" });
        expect(response.status).toBe(peer.target.sharedSecretOpensJobs ? whenOpen : 403);
        const elsewhere = await post(`queue/codeintel/${path}`, { ...other, executorName, errorMessage: "x" });
        expect(elsewhere.status).toBe(peer.target.sharedSecretOpensJobs ? whenOpen : 403);
      }
      expect(await peer.target.state(job.id)).toBe("processing");
      await finish(job, executorName);
    });
  });
}
