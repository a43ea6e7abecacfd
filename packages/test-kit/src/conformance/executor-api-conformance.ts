import { afterAll, beforeAll, describe, expect, it } from "vitest";

/** An instance under test, and a few operations that the executor protocol does not have. */
export interface ExecutorApiTarget extends AsyncDisposable {
  /** Without a trailing slash, e.g. `http://127.0.0.1:7080`. */
  readonly url: string;
  readonly sharedSecret: string;
  /**
   * Whether routes of a job accept the shared secret instead of the job's token, for executors from before job tokens.
   */
  readonly sharedSecretOpensJobs: boolean;
  /** Two repositories of the instance. `commit` is a full SHA from the history of the first one. */
  readonly repository: { readonly name: string; readonly commit: string };
  readonly otherRepository: { readonly name: string };
  /** Queues a job with one step and returns its id. The step's key is `main`. */
  enqueue(job: {
    readonly queue: string;
    readonly repository?: string;
    readonly commands: readonly string[];
  }): Promise<number>;
  requestCancel(jobId: number): Promise<void>;
  /** `queued`, `processing`, `completed`, `errored`, `failed` or `canceled`. */
  state(jobId: number): Promise<string>;
  /** The output of the last attempt: all entries concatenated, without `stdout: ` prefixes. */
  log(jobId: number): Promise<string>;
}

interface Dequeued {
  readonly id: number;
  readonly token: string;
  readonly version?: number;
  readonly queue?: string;
  readonly repositoryName: string;
  readonly commit: string;
  readonly dockerSteps: readonly { key?: string; image: string; commands: string[]; dir: string; env: string[] }[];
  readonly [member: string]: unknown;
}

/**
 * Tests what an instance must do for executors of every generation of the protocol: 2022 (shared secret everywhere,
 * bare arrays), 4.x (`V2` heartbeats, `canceledJobs`) and 5.x (job tokens, several queues). Simulates those executors
 * over HTTP and knows nothing about the implementation.
 */
export function describeExecutorApi(createTarget: () => Promise<ExecutorApiTarget>): void {
  describe("executor API", () => {
    let target: ExecutorApiTarget;
    beforeAll(async () => {
      target = await createTarget();
    });
    afterAll(async () => {
      await target?.[Symbol.asyncDispose]();
    });

    const secret = (): Record<string, string> => ({ authorization: `token-executor ${target.sharedSecret}` });
    const post = (path: string, body: unknown, headers: Record<string, string> = secret()): Promise<Response> =>
      fetch(`${target.url}/.executors/${path}`, {
        method: "POST",
        headers: { "content-type": "application/json", ...headers },
        body: typeof body === "string" ? body : JSON.stringify(body),
      });
    const jobHeaders = (job: Dequeued, executorName: string): Record<string, string> => ({
      authorization: `Bearer ${job.token}`,
      "x-sourcegraph-job-id": String(job.id),
      "x-sourcegraph-executor-name": executorName,
    });
    const modern = { version: "5.3.0", numCPUs: 4, memory: "12G", diskSpace: "20G" };
    let names = 0;
    const newExecutor = (): string => `conformance-${process.pid}-${++names}`;

    /** Queues a job and dequeues it as a 5.x executor does. */
    async function takeJob(options: {
      queue?: string;
      repository?: string;
      executorName: string;
      request?: object;
    }): Promise<Dequeued> {
      const queue = options.queue ?? "batches";
      const id = await target.enqueue({
        queue,
        commands: ["echo one", "echo two"],
        ...(options.repository ? { repository: options.repository } : {}),
      });
      const response = await post(`queue/${queue}/dequeue`, {
        executorName: options.executorName,
        ...modern,
        ...options.request,
      });
      expect(response.status).toBe(200);
      const job = (await response.json()) as Dequeued;
      expect(job.id).toBe(id);
      return job;
    }
    /** Executors before 5.0 have no job tokens. */
    const usesSharedSecret = (version: string): boolean => /^[1-4]\.|_2022-/.test(version);
    /** If job routes require job tokens, an executor without them could dequeue jobs but never report on them. */
    async function expectRefusal(request: object): Promise<void> {
      const response = await post("queue/batches/dequeue", { executorName: newExecutor(), ...request });
      expect([response.status, await response.text()]).toEqual([403, expect.stringContaining("shared secret")]);
    }
    async function finish(job: Dequeued, executorName: string, queue = "batches"): Promise<void> {
      const response = await post(
        `queue/${queue}/markComplete`,
        { executorName, jobId: job.id },
        jobHeaders(job, executorName),
      );
      expect(response.status).toBe(204);
    }

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

      it("lets the right secret test itself", async () => {
        const response = await fetch(`${target.url}/.executors/test/auth`, { headers: secret() });
        expect([response.status, (await response.text()).trim()]).toEqual([200, "ok"]);
      });

      it("redirects a trailing slash to the path without it", async () => {
        const response = await fetch(`${target.url}/.executors/test/auth/`, { headers: secret(), redirect: "manual" });
        expect([301, 308]).toContain(response.status);
        expect(new URL(response.headers.get("location") ?? "", target.url).pathname).toBe("/.executors/test/auth");
      });
    });

    describe("dequeue", () => {
      it("answers 204 without a body when nothing waits, at once", async () => {
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
        expect(await target.state(job.id)).toBe("processing");
        await finish(job, executorName);
      });

      it("gives a version 2 payload with a token of 40 hex digits to an executor from 4.3.0 on", async () => {
        const executorName = newExecutor();
        const job = await takeJob({ executorName, repository: target.repository.name });
        expect(job).toMatchObject({
          version: 2,
          token: expect.stringMatching(/^[0-9a-f]{40}$/),
          repositoryName: target.repository.name,
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
      ])("knows the payload's version for %s", async (_title, version, expected) => {
        const executorName = newExecutor();
        if (usesSharedSecret(version) && !target.sharedSecretOpensJobs) return await expectRefusal({ version });
        const job = await takeJob({ executorName, request: { version } });
        expect(job.version || undefined).toBe(expected);
        await finish(job, executorName);
      });

      it("gives a version 1 payload to a 2022 executor, which sends its name only", async () => {
        const executorName = newExecutor();
        if (!target.sharedSecretOpensJobs) return await expectRefusal({});
        const id = await target.enqueue({ queue: "batches", commands: ["true"] });
        const response = await post("queue/batches/dequeue", { executorName });
        const job = (await response.json()) as Dequeued;
        expect(job.id).toBe(id);
        expect(job.version ?? 1).toBe(1);
        expect(job).not.toHaveProperty("dockerAuthConfig");
        await finish(job, executorName);
      });

      it.each([
        ["an empty executor name", "queue/batches/dequeue", { executorName: "" }, 500],
        ["text that is no JSON", "queue/batches/dequeue", "{", 400],
        ["an unknown queue in a list", "queue/dequeue", { executorName: "x", ...modern, queues: ["nope"] }, 500],
      ])("answers %s with its status", async (_title, path, body, status) => {
        const response = await post(path, body);
        expect(response.status).toBe(status);
        if (status === 500) expect(await response.json()).toEqual({ error: expect.stringMatching(/\w/) });
      });

      it("takes from several queues and says which", async () => {
        const executorName = newExecutor();
        const id = await target.enqueue({ queue: "codeintel", commands: ["true"] });
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
      it("answers 5.x with texts: what is known, and what to cancel", async () => {
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
        await target.requestCancel(job.id);
        expect(await beat()).toEqual({ knownIds: [String(job.id)], cancelIds: [String(job.id)] });
        await post(
          `queue/batches/markFailed`,
          { executorName, jobId: job.id, errorMessage: "canceled" },
          jobHeaders(job, executorName),
        );
        expect(await target.state(job.id)).toBe("canceled");
      });

      it.each([
        ["4.0", "4.0.1"],
        ["4.3", "4.3.0"],
        ["an insiders build of 2022", "190000_2022-12-01_4.2-abcdef123456"],
      ])("answers %s with numbers, which is all that it reads", async (_title, executorVersion) => {
        const executorName = newExecutor();
        const job = await takeJob({ executorName });
        await target.requestCancel(job.id);
        const body = { version: "V2", executorName, jobIds: [job.id], executorVersion };
        const response = await post("queue/batches/heartbeat", body);
        expect(await response.json()).toEqual({ knownIds: [job.id], cancelIds: [job.id] });
        await finish(job, executorName);
      });

      it.each(["", "0.0.0+dev", "5.0.0", "201000_2023-03-01_5.0-abcdef123456"])(
        "answers version %j with texts",
        async (executorVersion) => {
          const executorName = newExecutor();
          const job = await takeJob({ executorName });
          const body = { version: "V2", executorName, jobIds: [job.id], executorVersion };
          const response = await post("queue/batches/heartbeat", body);
          expect(await response.json()).toMatchObject({ knownIds: [String(job.id)] });
          await finish(job, executorName);
        },
      );

      it("answers 2022 with a bare array of numbers", async () => {
        const executorName = newExecutor();
        const job = await takeJob({ executorName });
        const response = await post("queue/batches/heartbeat", { executorName, jobIds: [job.id], os: "linux" });
        expect([response.status, await response.json()]).toEqual([200, [job.id]]);
        await finish(job, executorName);
      });

      it("takes ids as texts, and null for none", async () => {
        const executorName = newExecutor();
        const job = await takeJob({ executorName });
        const texts = await post("queue/batches/heartbeat", { version: "V2", executorName, jobIds: [String(job.id)] });
        expect(await texts.json()).toMatchObject({ knownIds: [String(job.id)] });
        const none = await post("queue/batches/heartbeat", { version: "V2", executorName, jobIds: null });
        expect(none.status).toBe(200);
        await finish(job, executorName);
      });

      it("does not know a job that another executor holds", async () => {
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

      it("takes the start-up ping, which holds a name and nothing else", async () => {
        expect((await post("queue/batches/heartbeat", { executorName: newExecutor() })).status).toBe(200);
        expect((await post("queue/heartbeat", { executorName: newExecutor(), queueNames: ["batches"] })).status).toBe(
          200,
        );
      });

      it("tells older executors about cancellations where they ask", async () => {
        const executorName = newExecutor();
        const job = await takeJob({ executorName });
        await target.requestCancel(job.id);
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

    describe("job token (group B)", () => {
      it("is asked for what the protocol asks, with its statuses", async () => {
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
        expect(
          await add({ authorization: good.authorization ?? "", "x-sourcegraph-executor-name": executorName }),
        ).toBe(400);
        expect(await add({ ...good, "x-sourcegraph-job-id": "x" })).toBe(400);
        expect(await add({ ...good, "x-sourcegraph-executor-name": "" })).toBe(400);
        expect(await add({ ...good, "x-sourcegraph-job-id": String(other.id) })).toBe(403);
        expect(await add(good, "queue/codeintel/addExecutionLogEntry")).toBe(403);
        expect(await add({ authorization: "token-executor wrong-wrong-wrong-wrong" })).toBe(403);
        expect(await add(good)).toBe(200);

        await finish(job, executorName);
        await finish(other, executorName);
      });

      it("of one job does not write to another, whatever the body says", async () => {
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
        expect(await target.state(theirs.id)).toBe("processing");
        await finish(mine, executorName);
        await finish(theirs, `${executorName}-victim`);
      });

      it("ends with its job", async () => {
        const executorName = newExecutor();
        const job = await takeJob({ executorName });
        await finish(job, executorName);
        const again = await post(
          "queue/batches/markComplete",
          { executorName, jobId: job.id },
          jobHeaders(job, executorName),
        );
        expect([401, 404]).toContain(again.status);
        expect(await target.state(job.id)).toBe("completed");
      });
    });

    describe("the shared secret on routes of a job", () => {
      const git = (name: string) =>
        fetch(`${target.url}/.executors/git/${name}/info/refs?service=git-upload-pack`, { headers: secret() });
      const entry = { key: "setup.git.init", command: ["git", "init"], startTime: new Date().toISOString() };

      it("passes with no further check where old executors are let in, and nowhere else", async () => {
        const opens = target.sharedSecretOpensJobs;
        const executorName = newExecutor();
        const job = await takeJob({ executorName, repository: target.repository.name });
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
        for (const name of [target.repository.name, target.otherRepository.name]) {
          const refs = await git(name);
          expect(refs.status).toBe(opens ? 200 : 403);
          await refs.arrayBuffer();
        }
        const file = await fetch(`${target.url}/.executors/files/batch-changes/${job.id}/none`, { headers: secret() });
        expect(file.status).toBe(opens ? 404 : 403);
        const done = await post("queue/batches/markComplete", body);
        expect(done.status).toBe(opens ? 204 : 403);
        expect(await target.state(job.id)).toBe(opens ? "completed" : "processing");
        if (!opens) await finish(job, executorName);
      });

      it("is no other secret, and comes under no other scheme", async () => {
        const executorName = newExecutor();
        const job = await takeJob({ executorName });
        const body = { executorName, jobId: job.id, ...entry };
        const add = async (authorization?: string): Promise<number> =>
          (await post("queue/batches/addExecutionLogEntry", body, authorization ? { authorization } : {})).status;
        expect(await add("token-executor wrong-wrong-wrong-wrong")).toBe(403);
        expect(await add(`token-executor ${target.sharedSecret}x`)).toBe(403);
        expect(await add(`token-executor ${job.token}`)).toBe(403);
        expect(await add("token-executor ")).toBe(401);
        expect(await add("token-executor")).toBe(401);
        expect(await add(`token-executor ${target.sharedSecret} x`)).toBe(401);
        expect(await add(`Basic ${target.sharedSecret}`)).toBe(401);
        expect(await add()).toBe(401);
        const asToken = { ...jobHeaders(job, executorName), authorization: `Bearer ${target.sharedSecret}` };
        expect((await post("queue/batches/markComplete", body, asToken)).status).toBe(401);
        await finish(job, executorName);
      });

      it("lets an executor write to what it holds and to no other's job", async () => {
        const executorName = newExecutor();
        const job = await takeJob({ executorName });
        const other = { executorName: newExecutor(), jobId: job.id, ...entry };
        for (const [path, whenOpen] of [
          ["markComplete", 404],
          ["markFailed", 404],
          ["addExecutionLogEntry", 500],
        ] as const) {
          const response = await post(`queue/batches/${path}`, { ...other, errorMessage: "x" });
          expect(response.status).toBe(target.sharedSecretOpensJobs ? whenOpen : 403);
          const elsewhere = await post(`queue/codeintel/${path}`, { ...other, executorName, errorMessage: "x" });
          expect(elsewhere.status).toBe(target.sharedSecretOpensJobs ? whenOpen : 403);
        }
        expect(await target.state(job.id)).toBe("processing");
        await finish(job, executorName);
      });
    });

    describe("logs", () => {
      it("are added, grown by whole entries and closed", async () => {
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
        expect(await target.log(job.id)).toContain("one\ntwo\n");
        expect((await target.log(job.id)).split("one").length).toBe(2);
      });

      it("of an unknown entry are refused with 500", async () => {
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
      ])("%s makes it %s", async (path, state) => {
        const executorName = newExecutor();
        const job = await takeJob({ executorName });
        const body = { executorName, jobId: job.id, errorMessage: "command failed with exit code 1" };
        const response = await post(`queue/batches/${path}`, body, jobHeaders(job, executorName));
        expect([response.status, await response.text()]).toEqual([204, ""]);
        expect(await target.state(job.id)).toBe(state);
      });

      it("markErrored is not the job's failure: it is tried again or errored", async () => {
        const executorName = newExecutor();
        const job = await takeJob({ executorName });
        const body = { executorName, jobId: job.id, errorMessage: "no space left" };
        expect((await post("queue/batches/markErrored", body, jobHeaders(job, executorName))).status).toBe(204);
        const state = await target.state(job.id);
        expect(["queued", "errored"]).toContain(state);
        if (state === "queued") await target.requestCancel(job.id);
      });

      it("markErrored after a step that failed is final: executors report a failing step this way", async () => {
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
        expect(["failed", "errored"]).toContain(await target.state(job.id));
      });
    });

    describe("uploads", () => {
      const commit = "a".repeat(40);
      const upload = (query: Record<string, string>, body = "index", route = "lsif"): Promise<Response> =>
        fetch(`${target.url}/.executors/${route}/upload?${new URLSearchParams(query)}`, {
          method: "POST",
          headers: { ...secret(), "content-type": "application/x-protobuf+scip", "x-uncompressed-size": "5" },
          body,
        });

      it("are taken whole, with a commit that is not there", async () => {
        for (const route of ["lsif", "scip"]) {
          const response = await upload({ repository: target.repository.name, commit, root: "/" }, "index", route);
          expect([response.status, await response.json()]).toEqual([202, { id: expect.stringMatching(/^\d+$/) }]);
        }
        expect(
          (await fetch(`${target.url}/.executors/scip/upload`, { method: "HEAD", headers: secret() })).status,
        ).toBe(200);
      });

      it("are taken in parts, and finished when all are there", async () => {
        const start = await upload(
          { repository: target.repository.name, commit, multiPart: "true", numParts: "2" },
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
      ])("answer %s with its status", async (_title, query, status) => {
        const response = await upload({ repository: target.repository.name, commit, ...query });
        expect(response.status).toBe(status);
      });

      it("need the shared secret", async () => {
        expect((await fetch(`${target.url}/.executors/lsif/upload`, { method: "POST", body: "x" })).status).toBe(401);
      });
    });

    it("names a release of the src command", async () => {
      const response = await fetch(`${target.url}/.api/src-cli/version`);
      expect(await response.json()).toEqual({ version: expect.stringMatching(/^\d+\.\d+\.\d+$/) });
    });

    describe("files", () => {
      const file = (job: number, id: string, headers: Record<string, string>, method = "GET"): Promise<Response> =>
        fetch(`${target.url}/.executors/files/batch-changes/${job}/${id}`, { method, headers });

      it("are opened by the token of their own job only", async () => {
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
      const refs = (name: string): string => `${target.url}/.executors/git/${name}/info/refs?service=git-upload-pack`;

      it("lets a job read its own repository and nothing else", async () => {
        const executorName = newExecutor();
        const job = await takeJob({ executorName, repository: target.repository.name });
        const headers = jobHeaders(job, executorName);
        const own = await fetch(refs(target.repository.name), { headers });
        expect([own.status, own.headers.get("content-type")]).toEqual([
          200,
          "application/x-git-upload-pack-advertisement",
        ]);
        await own.arrayBuffer();
        expect((await fetch(refs(target.otherRepository.name), { headers })).status).toBe(403);
        expect((await fetch(refs("no/such/repository"), { headers })).status).toBeGreaterThanOrEqual(403);
        expect((await fetch(refs(target.repository.name))).status).toBe(401);
        const push = `${target.url}/.executors/git/${target.repository.name}/info/refs?service=git-receive-pack`;
        expect((await fetch(push, { headers })).status).toBeGreaterThanOrEqual(400);
        await finish(job, executorName);
        expect((await fetch(refs(target.repository.name), { headers })).status).toBe(401);
      });
    });
  });
}
