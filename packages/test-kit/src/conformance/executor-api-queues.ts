import { describe, expect, it } from "vitest";
import type { Dequeued, ExecutorPeer } from "./executor-peer.ts";

/** Tests how an instance hands out jobs and answers heartbeats. Part of `describeExecutorApi`. */
export function describeQueues(peer: ExecutorPeer): void {
  const { post, jobHeaders, newExecutor, takeJob, usesSharedSecret, expectRefusal, finish, modern } = peer;

  describe("dequeue", () => {
    it("answers 204 without a body at once if no job waits", async () => {
      const startedAt = performance.now();
      const response = await post("queue/codeintel/dequeue", { executorName: newExecutor(), ...modern });
      expect([response.status, await response.text()]).toEqual([204, ""]);
      expect(performance.now() - startedAt).toBeLessThan(2000);
    });

    it("hands a job to one executor only", async () => {
      const executorName = newExecutor();
      const job = await takeJob({ executorName });
      const second = await post("queue/batches/dequeue", { executorName: newExecutor(), ...modern });
      expect(second.status).toBe(204);
      expect(await peer.target.state(job.id)).toBe("processing");
      await finish(job, executorName);
    });

    it("gives a version 2 payload with a token of 40 hex digits to executors from 4.3.0 on", async () => {
      const executorName = newExecutor();
      const job = await takeJob({ executorName, repository: peer.target.repository.name });
      expect(job).toMatchObject({
        version: 2,
        token: expect.stringMatching(/^[0-9a-f]{40}$/),
        repositoryName: peer.target.repository.name,
        commit: expect.stringMatching(/^[0-9a-f]{40}$/),
      });
      expect(job.dockerSteps).toHaveLength(1);
      expect(job.dockerSteps[0]).toMatchObject({ key: "main", image: expect.any(String) });
      expect(job.dockerSteps[0]?.commands.join("\n")).toContain("echo one\necho two");
      // Absent on single-queue routes, because old clients use it to build ids.
      expect(job.queue ?? "").toBe("");
      await finish(job, executorName);
    });

    it.each([
      ["a dev build", "0.0.0+dev", 2],
      ["an insiders build of 2023", "210000_2023-03-15_5.0-abcdef123456", 2],
      ["an insiders build of early 2022", "120000_2022-03-01_abcdef123456", undefined],
      ["4.2.9", "4.2.9", undefined],
      ["4.3.0", "4.3.0", 2],
    ])("chooses the payload's version for %s", async (_title, version, expected) => {
      const executorName = newExecutor();
      if (usesSharedSecret(version) && !peer.target.sharedSecretOpensJobs) return await expectRefusal({ version });
      const job = await takeJob({ executorName, request: { version } });
      expect(job.version || undefined).toBe(expected);
      await finish(job, executorName);
    });

    it("gives a version 1 payload to a 2022 executor, which sends only its name", async () => {
      const executorName = newExecutor();
      if (!peer.target.sharedSecretOpensJobs) return await expectRefusal({});
      const id = await peer.target.enqueue({ queue: "batches", commands: ["true"] });
      const response = await post("queue/batches/dequeue", { executorName });
      const job = (await response.json()) as Dequeued;
      expect(job.id).toBe(id);
      expect(job.version ?? 1).toBe(1);
      expect(job).not.toHaveProperty("dockerAuthConfig");
      await finish(job, executorName);
    });

    it.each([
      ["an empty executor name", "queue/batches/dequeue", { executorName: "" }, 500],
      ["text that is not JSON", "queue/batches/dequeue", "{", 400],
      ["an unknown queue in a list", "queue/dequeue", { executorName: "x", ...modern, queues: ["nope"] }, 500],
    ])("answers %s with the matching status", async (_title, path, body, status) => {
      const response = await post(path, body);
      expect(response.status).toBe(status);
      if (status === 500) expect(await response.json()).toEqual({ error: expect.stringMatching(/\w/) });
    });

    it("takes from several queues and says which queue a job came from", async () => {
      const executorName = newExecutor();
      const id = await peer.target.enqueue({ queue: "codeintel", commands: ["true"] });
      const response = await post("queue/dequeue", { executorName, ...modern, queues: ["batches", "codeintel"] });
      expect(response.status).toBe(200);
      const job = (await response.json()) as Dequeued;
      expect(job).toMatchObject({ id, queue: "codeintel" });
      await finish(job, executorName, "codeintel");
    });

    it("answers 204 to an empty list of queues", async () => {
      const response = await post("queue/dequeue", { executorName: newExecutor(), ...modern, queues: [] });
      expect(response.status).toBe(204);
    });
  });

  describe("heartbeat", () => {
    it("answers executors of 5.x with strings: the known jobs and the jobs to cancel", async () => {
      const executorName = newExecutor();
      const job = await takeJob({ executorName });
      const beat = async (): Promise<unknown> => {
        const body = {
          version: "V2",
          executorName,
          jobIds: [job.id, 999_999_999],
          os: "linux",
          prometheusMetrics: "",
        };
        return (await post("queue/batches/heartbeat", body)).json();
      };
      expect(await beat()).toMatchObject({ knownIds: [String(job.id)] });
      await peer.target.requestCancel(job.id);
      expect(await beat()).toEqual({ knownIds: [String(job.id)], cancelIds: [String(job.id)] });
      await post(
        `queue/batches/markFailed`,
        { executorName, jobId: job.id, errorMessage: "canceled" },
        jobHeaders(job, executorName),
      );
      expect(await peer.target.state(job.id)).toBe("canceled");
    });

    it.each([
      ["4.0", "4.0.1"],
      ["4.3", "4.3.0"],
      ["an insiders build of 2022", "190000_2022-12-01_4.2-abcdef123456"],
    ])("answers %s with numbers, the only form that they read", async (_title, executorVersion) => {
      const executorName = newExecutor();
      const job = await takeJob({ executorName });
      await peer.target.requestCancel(job.id);
      const body = { version: "V2", executorName, jobIds: [job.id], executorVersion };
      const response = await post("queue/batches/heartbeat", body);
      expect(await response.json()).toEqual({ knownIds: [job.id], cancelIds: [job.id] });
      await finish(job, executorName);
    });

    it.each(["", "0.0.0+dev", "5.0.0", "201000_2023-03-01_5.0-abcdef123456"])(
      "answers version %j with strings",
      async (executorVersion) => {
        const executorName = newExecutor();
        const job = await takeJob({ executorName });
        const body = { version: "V2", executorName, jobIds: [job.id], executorVersion };
        const response = await post("queue/batches/heartbeat", body);
        expect(await response.json()).toMatchObject({ knownIds: [String(job.id)] });
        await finish(job, executorName);
      },
    );

    it("answers 2022 executors with a bare array of numbers", async () => {
      const executorName = newExecutor();
      const job = await takeJob({ executorName });
      const response = await post("queue/batches/heartbeat", { executorName, jobIds: [job.id], os: "linux" });
      expect([response.status, await response.json()]).toEqual([200, [job.id]]);
      await finish(job, executorName);
    });

    it("accepts ids as strings, and null for no jobs", async () => {
      const executorName = newExecutor();
      const job = await takeJob({ executorName });
      const texts = await post("queue/batches/heartbeat", { version: "V2", executorName, jobIds: [String(job.id)] });
      expect(await texts.json()).toMatchObject({ knownIds: [String(job.id)] });
      const none = await post("queue/batches/heartbeat", { version: "V2", executorName, jobIds: null });
      expect(none.status).toBe(200);
      await finish(job, executorName);
    });

    it("does not list a job that another executor holds", async () => {
      const executorName = newExecutor();
      const job = await takeJob({ executorName });
      const response = await post("queue/batches/heartbeat", {
        version: "V2",
        executorName: newExecutor(),
        jobIds: [job.id],
      });
      const { knownIds } = (await response.json()) as { knownIds: string[] | null };
      expect(knownIds ?? []).toEqual([]);
      await finish(job, executorName);
    });

    it("joins id and queue on the multi-queue route", async () => {
      const executorName = newExecutor();
      const job = await takeJob({ executorName });
      const response = await post("queue/heartbeat", {
        version: "",
        executorName,
        queueNames: ["batches", "codeintel"],
        jobIdsByQueue: [{ queueName: "batches", jobIds: [String(job.id)] }],
      });
      expect(await response.json()).toMatchObject({ knownIds: [`${job.id}-batches`] });
      await finish(job, executorName);
    });

    it.each([
      ["no queue names", { queueNames: [] }],
      [
        "a queue that is not among the names",
        { queueNames: ["batches"], jobIdsByQueue: [{ queueName: "codeintel", jobIds: ["1"] }] },
      ],
    ])("answers 500 to %s on the multi-queue route", async (_title, body) => {
      const response = await post("queue/heartbeat", { executorName: newExecutor(), ...body });
      expect(response.status).toBe(500);
    });

    it("accepts the start-up ping, which contains only a name", async () => {
      expect((await post("queue/batches/heartbeat", { executorName: newExecutor() })).status).toBe(200);
      expect((await post("queue/heartbeat", { executorName: newExecutor(), queueNames: ["batches"] })).status).toBe(
        200,
      );
    });

    it("tells older executors about cancellations on the route that they ask", async () => {
      const executorName = newExecutor();
      const job = await takeJob({ executorName });
      await peer.target.requestCancel(job.id);
      const of2022 = await post("queue/batches/canceled", { executorName });
      expect([of2022.status, await of2022.json()]).toEqual([200, [job.id]]);
      const of4x = await post("queue/batches/canceledJobs", { executorName, knownJobIds: [job.id, 5] });
      expect([of4x.status, await of4x.json()]).toEqual([200, [job.id]]);
      const unknown = await post("queue/batches/canceledJobs", { executorName, knownJobIds: null });
      expect(await unknown.json()).toEqual([]);
      await post(
        "queue/batches/markFailed",
        { executorName, jobId: job.id, errorMessage: "x" },
        jobHeaders(job, executorName),
      );
    });
  });
}
