import { describe, expect, it } from "vitest";
import type { ExecutorPeer } from "./executor-peer.ts";

/** Tests the routes of one job: its log, its end, its uploads, files and repository. Part of `describeExecutorApi`. */
export function describeJobs(peer: ExecutorPeer): void {
  const { secret, post, jobHeaders, newExecutor, takeJob, finish } = peer;

  describe("logs", () => {
    it("are added, updated with whole entries and closed", async () => {
      const executorName = newExecutor();
      const job = await takeJob({ executorName });
      const headers = jobHeaders(job, executorName);
      const entry = {
        executorName,
        jobId: job.id,
        key: "step.docker.main",
        command: ["docker", "run"],
        startTime: new Date().toISOString(),
      };
      const first = await post("queue/batches/addExecutionLogEntry", entry, headers);
      expect([first.status, await first.json()]).toEqual([200, 1]);
      const second = await post(
        "queue/batches/addExecutionLogEntry",
        { ...entry, key: "teardown.fs", command: null },
        headers,
      );
      expect(await second.json()).toBe(2);
      for (const update of [
        { out: "stdout: one\n" },
        { out: "stdout: one\nstderr: two\n" },
        { out: "stdout: one\nstderr: two\n", exitCode: 0, durationMs: 12 },
        // A repetition, as after a lost response.
        { out: "stdout: one\nstderr: two\n", exitCode: 0, durationMs: 12 },
      ]) {
        const response = await post(
          "queue/batches/updateExecutionLogEntry",
          { ...entry, entryId: 1, ...update },
          headers,
        );
        expect(response.status).toBe(204);
      }
      await finish(job, executorName);
      expect(await peer.target.log(job.id)).toContain("one\ntwo\n");
      expect((await peer.target.log(job.id)).split("one").length).toBe(2);
    });

    it("of an unknown entry are refused with status 500", async () => {
      const executorName = newExecutor();
      const job = await takeJob({ executorName });
      const body = {
        executorName,
        jobId: job.id,
        entryId: 7,
        key: "x",
        command: [],
        startTime: new Date().toISOString(),
        out: "stdout: x\n",
      };
      const response = await post("queue/batches/updateExecutionLogEntry", body, jobHeaders(job, executorName));
      expect(response.status).toBe(500);
      await finish(job, executorName);
    });
  });

  describe("the end of a job", () => {
    it.each([
      ["markComplete", "completed"],
      ["markFailed", "failed"],
    ])("with %s makes it %s", async (path, state) => {
      const executorName = newExecutor();
      const job = await takeJob({ executorName });
      const body = { executorName, jobId: job.id, errorMessage: "command failed with exit code 1" };
      const response = await post(`queue/batches/${path}`, body, jobHeaders(job, executorName));
      expect([response.status, await response.text()]).toEqual([204, ""]);
      expect(await peer.target.state(job.id)).toBe(state);
    });

    it("as markErrored is an infrastructure error: the job is retried or errored", async () => {
      const executorName = newExecutor();
      const job = await takeJob({ executorName });
      const body = { executorName, jobId: job.id, errorMessage: "no space left" };
      expect((await post("queue/batches/markErrored", body, jobHeaders(job, executorName))).status).toBe(204);
      const state = await peer.target.state(job.id);
      expect(["queued", "errored"]).toContain(state);
      if (state === "queued") await peer.target.requestCancel(job.id);
    });

    it("as markErrored after a failed step is final: executors report a failed step this way", async () => {
      const executorName = newExecutor();
      const job = await takeJob({ executorName });
      const fields = { executorName, jobId: job.id };
      const headers = jobHeaders(job, executorName);
      const entry = { ...fields, key: "step.docker.main", command: ["sh"], startTime: new Date().toISOString() };
      const entryId = await (await post("queue/batches/addExecutionLogEntry", entry, headers)).json();
      const ended = { ...entry, entryId, exitCode: 3, durationMs: 1, out: "stdout: broken\n" };
      expect((await post("queue/batches/updateExecutionLogEntry", ended, headers)).status).toBe(204);
      const body = { ...fields, errorMessage: "command failed with exit code 3" };
      expect((await post("queue/batches/markErrored", body, headers)).status).toBe(204);
      expect(["failed", "errored"]).toContain(await peer.target.state(job.id));
    });
  });

  describe("uploads", () => {
    const commit = "a".repeat(40);
    const upload = (query: Record<string, string>, body = "index", route = "lsif"): Promise<Response> =>
      fetch(`${peer.target.url}/.executors/${route}/upload?${new URLSearchParams(query)}`, {
        method: "POST",
        headers: { ...secret(), "content-type": "application/x-protobuf+scip", "x-uncompressed-size": "5" },
        body,
      });

    it("are accepted whole, even for an unknown commit", async () => {
      for (const route of ["lsif", "scip"]) {
        const response = await upload({ repository: peer.target.repository.name, commit, root: "/" }, "index", route);
        expect([response.status, await response.json()]).toEqual([202, { id: expect.stringMatching(/^\d+$/) }]);
      }
      expect(
        (await fetch(`${peer.target.url}/.executors/scip/upload`, { method: "HEAD", headers: secret() })).status,
      ).toBe(200);
    });

    it("are accepted in parts, and finished when all parts are there", async () => {
      const start = await upload(
        { repository: peer.target.repository.name, commit, multiPart: "true", numParts: "2" },
        "",
      );
      expect(start.status).toBe(202);
      const { id: uploadId } = (await start.json()) as { id: string };
      expect((await upload({ uploadId, index: "1" })).status).toBe(204);
      expect((await upload({ uploadId, done: "true" }, "")).status).toBe(400);
      expect((await upload({ uploadId, index: "2" })).status).toBe(400);
      expect((await upload({ uploadId, index: "0" })).status).toBe(204);
      const end = await upload({ uploadId, done: "true" }, "");
      expect([end.status, await end.json()]).toEqual([202, { id: uploadId }]);
    });

    it.each([
      ["a short commit", { commit: "abc" }, 400],
      ["no parts", { multiPart: "true", numParts: "0" }, 400],
      ["no phase", { repository: "" }, 400],
      ["an unknown repository", { repository: "no/such" }, 404],
      ["an unknown upload", { uploadId: "999999999", index: "0" }, 404],
    ])("answer %s with the matching status", async (_title, query, status) => {
      const response = await upload({ repository: peer.target.repository.name, commit, ...query });
      expect(response.status).toBe(status);
    });

    it("require the shared secret", async () => {
      expect((await fetch(`${peer.target.url}/.executors/lsif/upload`, { method: "POST", body: "x" })).status).toBe(
        401,
      );
    });
  });

  describe("files", () => {
    const file = (job: number, id: string, headers: Record<string, string>, method = "GET"): Promise<Response> =>
      fetch(`${peer.target.url}/.executors/files/batch-changes/${job}/${id}`, { method, headers });

    it("can be read only with the token of their own job", async () => {
      const executorName = newExecutor();
      const job = await takeJob({ executorName });
      const other = await takeJob({ executorName });
      for (const method of ["GET", "HEAD"]) {
        expect((await file(job.id, "none", jobHeaders(job, executorName), method)).status).toBe(404);
        expect((await file(job.id, "none", jobHeaders(other, executorName), method)).status).toBe(403);
        expect((await file(job.id, "none", {}, method)).status).toBe(401);
      }
      await finish(job, executorName);
      await finish(other, executorName);
      expect((await file(job.id, "none", jobHeaders(job, executorName))).status).toBe(401);
    });
  });

  describe("git", () => {
    const refs = (name: string): string =>
      `${peer.target.url}/.executors/git/${name}/info/refs?service=git-upload-pack`;

    it("lets a job read its own repository and nothing else", async () => {
      const executorName = newExecutor();
      const job = await takeJob({ executorName, repository: peer.target.repository.name });
      const headers = jobHeaders(job, executorName);
      const own = await fetch(refs(peer.target.repository.name), { headers });
      expect([own.status, own.headers.get("content-type")]).toEqual([
        200,
        "application/x-git-upload-pack-advertisement",
      ]);
      await own.arrayBuffer();
      expect((await fetch(refs(peer.target.otherRepository.name), { headers })).status).toBe(403);
      expect((await fetch(refs("no/such/repository"), { headers })).status).toBeGreaterThanOrEqual(403);
      expect((await fetch(refs(peer.target.repository.name))).status).toBe(401);
      const push = `${peer.target.url}/.executors/git/${peer.target.repository.name}/info/refs?service=git-receive-pack`;
      expect((await fetch(push, { headers })).status).toBeGreaterThanOrEqual(400);
      await finish(job, executorName);
      expect((await fetch(refs(peer.target.repository.name), { headers })).status).toBe(401);
    });
  });

  it("has a route that names a release of the src command", async () => {
    const response = await fetch(`${peer.target.url}/.api/src-cli/version`);
    expect(await response.json()).toEqual({ version: expect.stringMatching(/^\d+\.\d+\.\d+$/) });
  });
}
