import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startPrivateRegistry } from "../engines/private-registry.ts";
import { temporaryDirectory } from "../host/temporary-directory.ts";
import { busyboxImage, pushImage } from "../images/fixture-images.ts";
import { type FixtureRepository, makeRepository } from "../repositories/make-repository.ts";
import { runGit } from "../repositories/run-git.ts";
import {
  type ForeignEnd,
  ForeignInstance,
  type ForeignJob,
  type ForeignStep,
  foreignSecret,
  type ProtocolGeneration,
} from "./foreign-instance.ts";

/** A running executor, as its administrator sees it. */
export interface ExecutorUnderTest extends AsyncDisposable {
  kill(signal: "SIGTERM" | "SIGINT" | "SIGHUP" | "SIGKILL"): void;
  readonly exited: Promise<number | null>;
  /** Output to stdout and stderr so far. */
  output(): string;
}

export interface ExecutorTarget {
  /** An image with `/bin/sh`, git and the usual tools that the executor can use without further configuration. */
  readonly image: string;
  /** Starts the program with only these variables and what its runtime needs. */
  start(environment: Readonly<Record<string, string>>): Promise<ExecutorUnderTest>;
}

/** The order of setup and teardown keys; steps come between them. An executor need not send all of them. */
const keyOrder = [
  "setup.fs.workspace",
  "setup.git.init",
  "setup.git.add-remote",
  "setup.git.disable-gc",
  "setup.git.fetch",
  "setup.git.sparse-checkout-config",
  "setup.git.sparse-checkout-set",
  "setup.git.checkout",
  "setup.git.set-remote",
  "setup.fs.extras",
];

const setups: readonly { title: string; generation: ProtocolGeneration; several: boolean }[] = [
  { title: "an instance of 2022", generation: "2022", several: false },
  { title: "an instance of 4.x", generation: "4.x", several: false },
  { title: "an instance of 5.x", generation: "5.x", several: false },
  { title: "an instance of 5.x, by several queues", generation: "5.x", several: true },
];

/**
 * Tests what an executor must do for instances of the generation `wanted`, none of which has an extension. Simulates
 * those instances over HTTP, with real git behind them. Starts the executor as a process and knows nothing about its
 * implementation.
 */
export function describeExecutor(
  wanted: ProtocolGeneration,
  createTarget: (directory: string) => Promise<ExecutorTarget>,
): void {
  describe.each(setups.filter((setup) => setup.generation === wanted))(
    "executor of $title",
    ({ generation, several }) => {
      let stack: AsyncDisposableStack;
      let directory: string;
      let instance: ForeignInstance;
      let target: ExecutorTarget;
      let executor: ExecutorUnderTest;
      let repository: FixtureRepository;

      beforeAll(async () => {
        stack = new AsyncDisposableStack();
        directory = stack.use(await temporaryDirectory()).path;
        const repositoriesDir = join(directory, "repositories");
        await mkdir(repositoriesDir);
        repository = await makeRepository(join(repositoriesDir, "example.com/team/app"), [
          { message: "one", files: [{ path: "a.txt", content: "one\n" }], tag: "v1" },
          {
            message: "two",
            files: [
              { path: "a.txt", content: "two\n" },
              { path: "lib/b.txt", content: "b\n" },
            ],
          },
        ]);
        instance = stack.use(await ForeignInstance.start({ generation, repositoriesDir }));
        target = await createTarget(join(directory, "executor"));
        executor = stack.use(await target.start(environment()));
      }, 60_000);
      afterAll(() => stack.disposeAsync());

      const environment = (): Record<string, string> => ({
        EXECUTOR_FRONTEND_URL: instance.url,
        EXECUTOR_FRONTEND_PASSWORD: foreignSecret,
        ...(several ? { EXECUTOR_QUEUE_NAMES: "batches,codeintel" } : { EXECUTOR_QUEUE_NAME: "batches" }),
        EXECUTOR_QUEUE_POLL_INTERVAL: "100ms",
        EXECUTOR_MAXIMUM_NUM_JOBS: "8",
      });
      const step = (commands: readonly string[], more: Partial<ForeignStep> = {}): ForeignStep => ({
        key: "main",
        image: target.image,
        commands,
        ...more,
      });
      /** The key of the first step in log entries. */
      const stepKey = generation === "2022" ? "step.docker.0" : "step.docker.main";
      const inRepository = (more: Partial<ForeignJob> = {}): Partial<ForeignJob> => ({
        repositoryName: "example.com/team/app",
        commit: repository.head,
        ...more,
      });
      const queue = several ? "codeintel" : "batches";
      async function run(job: Omit<ForeignJob, "queue">): Promise<{ id: number; end: ForeignEnd }> {
        const id = instance.enqueue({ queue, ...job });
        return { id, end: await instance.ended(id) };
      }
      async function started(job: Omit<ForeignJob, "queue">): Promise<number> {
        const id = instance.enqueue({ queue, ...job });
        await instance.until(() => instance.out(id, stepKey).includes("started"));
        return id;
      }

      it("sends a heartbeat to check the instance before it asks for work", async () => {
        await instance.until(() => instance.requestsOf("/dequeue").length > 0);

        expect(instance.requests[0]?.route).toMatch(/\/heartbeat$/);
        expect(instance.requests[0]?.headers.authorization).toBe(`token-executor ${foreignSecret}`);
      });

      it("asks for work on its queues' route, with its name, version and resources", async () => {
        await instance.until(() => instance.requestsOf("/dequeue").length > 0);
        const [request] = instance.requestsOf("/dequeue");

        expect(request?.route).toBe(several ? "queue/dequeue" : "queue/batches/dequeue");
        expect(request?.headers).toMatchObject({
          authorization: `token-executor ${foreignSecret}`,
          "content-type": expect.stringMatching(/^application\/json/),
        });
        expect(request?.body).toMatchObject({
          executorName: expect.stringMatching(/.+-[0-9a-f]{8}-[0-9a-f-]{27}$/),
          version: expect.stringMatching(/^\d+\.\d+\.\d+/),
          numCPUs: expect.any(Number),
          memory: expect.stringMatching(/^\d+(?:\.\d+)?[KMGT]?i?B?$/),
          ...(several ? { queues: ["batches", "codeintel"] } : {}),
        });
      });

      it("asks again after its interval if there is no work", async () => {
        const before = instance.requestsOf("/dequeue").length;
        await sleep(1000);
        const more = instance.requestsOf("/dequeue").length - before;

        expect(more).toBeGreaterThan(4);
        expect(more).toBeLessThan(15);
      });

      it("runs a job in its repository, logs every part of it and reports the outcome", async () => {
        const commands = ["cat a.txt >&1", "git log -1 --format=%s", "git remote get-url origin", "echo err >&2"];
        const { id, end } = await run({ ...inRepository(), steps: [step(commands)] });
        const name = instance.requests[0]?.body.executorName;

        expect(end.kind).toBe("markComplete");
        expect(end.body).toMatchObject({ executorName: name, jobId: id });
        const keys = instance.entries(id).map(({ key }) => key);
        expect(keys).toContain("setup.git.fetch");
        expect(keys).toContain("setup.fs.extras");
        expect(keys.at(-1)).toBe("teardown.fs");
        expect(keys.indexOf(stepKey)).toBeGreaterThan(keys.indexOf("setup.fs.extras"));
        const known = keys.filter((key) => keyOrder.includes(key));
        expect(known).toEqual(keyOrder.filter((key) => known.includes(key)));
        for (const entry of instance.entries(id)) {
          expect(entry).toMatchObject({ exitCode: 0, durationMs: expect.any(Number) });
        }
        const lines = instance.out(id, stepKey).split("\n");
        expect(lines).toEqual(expect.arrayContaining(["stdout: two", "stderr: err", "stdout: example.com/team/app"]));
        // The preamble that the protocol demands traces commands.
        expect(lines).toContain("stderr: + cat a.txt");
      });

      it("sends the job's credentials with every request about it, including git's", async () => {
        const { id } = await run({
          ...inRepository({ commit: repository.commits[0] ?? "", shallowClone: true }),
          steps: [step(["true"])],
        });
        const authorization = generation === "5.x" ? `Bearer ${instance.token(id)}` : `token-executor ${foreignSecret}`;
        const headers = { authorization, "x-sourcegraph-job-id": String(id) };
        const about = instance.requests.filter(({ body, route }) => body.jobId === id && route.startsWith("queue/"));
        const git = instance.gitRequests.filter((request) => request.headers["x-sourcegraph-job-id"] === String(id));

        expect(about.length).toBeGreaterThan(3);
        for (const request of about) expect(request.headers).toMatchObject(headers);
        // The executor may already have the commit from another job.
        const all = instance.gitRequests;
        expect(all.length).toBeGreaterThan(0);
        for (const request of all) expect(request.headers["x-sourcegraph-actor-uid"]).toBe("internal");
        for (const request of git) {
          expect(request.headers).toMatchObject({ ...headers, "x-sourcegraph-actor-uid": "internal" });
          expect(request.headers["git-protocol"]).toBe("version=2");
        }
      });

      it.concurrent("sends a growing entry as a whole about once per second, and its end as soon as it is known", async () => {
        const { id } = await run({ steps: [step(["for i in 1 2 3 4 5; do echo line $i; sleep 0.6; done", "exit 0"])] });
        const entry = instance.entries(id).find(({ key }) => key === stepKey);
        const history = entry?.history ?? [];
        const updates = instance
          .requestsOf("updateExecutionLogEntry")
          .filter(({ body }) => body.jobId === id && body.key === stepKey);

        expect(history.length).toBeGreaterThanOrEqual(3);
        expect(history.length).toBeLessThan(9);
        for (const [index, { out }] of history.entries())
          expect(out.startsWith(history[index - 1]?.out ?? "")).toBe(true);
        expect(updates.at(0)?.body).not.toHaveProperty("exitCode");
        expect(updates.at(-1)?.body).toMatchObject({ entryId: expect.any(Number), exitCode: 0 });
        expect(entry?.out).toContain("stdout: line 1\n");
        expect(entry?.out).toContain("stdout: line 5\n");
      });

      it.concurrent("names its running jobs in heartbeats, in the route's form", async () => {
        const id = await started({ steps: [step(["echo started", "sleep 8"])] });
        const since = instance.requests.length;
        await instance.until(() => instance.requests.slice(since).some(({ route }) => route.endsWith("/heartbeat")));
        const { route, body } = instance.requests.slice(since).find((each) => each.route.endsWith("/heartbeat")) ?? {};

        expect(route).toBe(several ? "queue/heartbeat" : "queue/batches/heartbeat");
        expect(body).toMatchObject({
          ...Object.fromEntries(
            ["os", "architecture", "dockerVersion", "executorVersion", "gitVersion", "igniteVersion"].map((name) => [
              name,
              expect.any(String),
            ]),
          ),
          srcCliVersion: expect.any(String),
          prometheusMetrics: expect.stringContaining("src_executor_processor_total"),
          ...(several
            ? {
                queueNames: ["batches", "codeintel"],
                jobIdsByQueue: [{ queueName: queue, jobIds: expect.arrayContaining([String(id)]) }],
              }
            : { version: "V2", jobIds: expect.arrayContaining([id]) }),
        });
        expect((await instance.ended(id)).kind).toBe("markComplete");
      }, 30_000);

      it.concurrent("stops a canceled job, and reports it as failed with exit code -1 in the log", async () => {
        const id = await started({ steps: [step(["echo started", "sleep 300"])] });
        const at = performance.now();
        instance.canceled.add(id);

        expect((await instance.ended(id)).kind).toBe("markFailed");
        expect(performance.now() - at).toBeLessThan(15_000);
        expect(instance.entries(id).find(({ key }) => key === stepKey)?.exitCode).toBe(-1);
      }, 30_000);

      it.concurrent("drops a job that the instance no longer knows, and keeps working", async () => {
        const id = await started({ steps: [step(["echo started", "sleep 300"])] });
        const reports = () => instance.requests.filter(({ route, body }) => /\/mark/.test(route) && body.jobId === id);
        instance.forgotten.add(id);
        const heartbeats = instance.requestsOf("/heartbeat").length;
        await instance.until(() => instance.requestsOf("/heartbeat").length >= heartbeats + 2);

        // There is nothing left to report; a report would be answered with 404 and ignored.
        expect(reports().length).toBeLessThanOrEqual(1);
        expect((await run({ steps: [step(["true"])] })).end.kind).toBe("markComplete");
        instance.violations.splice(0);
      }, 40_000);

      it("ignores a failed heartbeat and keeps its jobs running", async () => {
        const failures = instance.requestsOf("/heartbeat").length + 1;
        instance.failing = (route) => (route.endsWith("/heartbeat") ? 500 : undefined);
        const id = await started({ steps: [step(["echo started", "sleep 6"])] });
        await instance.until(() => instance.requestsOf("/heartbeat").length >= failures);
        instance.failing = () => undefined;

        expect((await instance.ended(id)).kind).toBe("markComplete");
      }, 40_000);

      it("fails a job whose step fails, with its exit code, and runs no further step", async () => {
        const steps = [step(["exit 3"]), step(["true"], { key: "next" })];
        const { id, end } = await run({ steps });

        expect(end).toMatchObject({ kind: "markFailed", errorMessage: expect.stringContaining("3") });
        const keys = instance.entries(id).map(({ key }) => key);
        expect(keys.filter((key) => key.startsWith("step."))).toEqual([stepKey]);
        expect(instance.entries(id).find(({ key }) => key === stepKey)?.exitCode).toBe(3);
      });

      it("goes on after a failing command: the step's exit code is its last command's", async () => {
        const { end } = await run({ steps: [step(["false", "true"])] });

        expect(end.kind).toBe("markComplete");
      });

      it("writes files and gives steps their directory and environment", async () => {
        const files = { "sub/file.txt": { content: "written\n" }, "empty.txt": { content: "" } };
        const commands = ["cat ../sub/file.txt", "wc -c < ../empty.txt", "echo $GREETING", "pwd"];
        const { id, end } = await run({
          files,
          steps: [step(commands, { dir: "work", env: ["GREETING=hello there"] })],
        });

        expect(end.kind).toBe("markComplete");
        const lines = instance.out(id, stepKey).split("\n");
        const expected = ["stdout: written", "stdout: 0", "stdout: hello there", "stdout: /data/work"];
        expect(lines).toEqual(expect.arrayContaining(expected));
      });

      it("refuses files and directories outside the workspace", async () => {
        const outside = await run({ files: { "../outside": { content: "x" } }, steps: [step(["true"])] });
        const dir = await run({ steps: [step(["true"], { dir: "../.." })] });

        expect(outside.end.kind).not.toBe("markComplete");
        expect(dir.end.kind).not.toBe("markComplete");
      });

      it("redacts the job's values and the shared secret, in output and commands", async () => {
        const redactedValues = { "the-value-of-a-secret": "$" + "{{ secrets.NAME }}" };
        const commands = ["echo the-value-of-a-secret", `echo ${foreignSecret}`];
        const { id } = await run({ redactedValues, steps: [step(commands)] });

        const all = JSON.stringify(instance.entries(id));
        expect(all).not.toContain("the-value-of-a-secret");
        expect(all).not.toContain(foreignSecret);
        expect(instance.out(id, stepKey)).toContain("stdout: $" + "{{ secrets.NAME }}\n");
      });

      it("loses no log data while the instance is away for a while", async () => {
        const id = await started({
          steps: [step(["echo started", "sleep 2", "echo meanwhile", "sleep 1", "echo last"])],
        });
        await instance.suspend();
        await sleep(6000);
        await instance.resume();

        expect((await instance.ended(id)).kind).toBe("markComplete");
        expect(instance.out(id, stepKey)).toContain("stdout: last\n");
        expect(instance.out(id, stepKey)).toContain("stdout: meanwhile\n");
      }, 40_000);

      if (generation === "5.x") {
        it("fetches stored files, and sets their times as the instance says", async () => {
          const files = {
            "stored.txt": { stored: { bucket: "batch-changes", key: "spec/one", content: "from the store\n" } },
            "dated.txt": { content: "x", modifiedAt: "2024-02-01T10:00:00Z" },
            "binary.bin": { content: "\u0000\u0001é" },
          };
          const commands = [
            "cat stored.txt",
            "stat -c 'mtime=%Y' dated.txt",
            "stat -c 'year=%y' stored.txt",
            "wc -c < binary.bin",
          ];
          const { id, end } = await run({ files, steps: [step(commands)] });

          expect(end.kind).toBe("markComplete");
          const out = instance.out(id, stepKey);
          expect(out).toContain("stdout: from the store\n");
          expect(out).toContain("stdout: mtime=1706781600\n");
          // Go's zero time means that no time is set.
          expect(out).not.toContain("year=0001");
          expect(out).toContain("stdout: 4\n");
        });

        it("checks out the repository into its directory; shallow, with tags or sparse if the job wants that", async () => {
          const { id, end } = await run({
            ...inRepository({ repositoryDirectory: "repository", shallowClone: true, fetchTags: true }),
            steps: [step(["git rev-list --count HEAD", "git tag", "cat a.txt"], { dir: "repository" })],
          });
          const sparse = await run({
            ...inRepository({ sparseCheckout: ["lib/*"] }),
            steps: [step(["ls", "git status --porcelain | wc -l"])],
          });

          expect(end.kind).toBe("markComplete");
          expect(instance.out(id, stepKey).split("\n")).toEqual(
            expect.arrayContaining(["stdout: 1", "stdout: v1", "stdout: two"]),
          );
          expect(sparse.end.kind).toBe("markComplete");
          const lines = instance.out(sparse.id, stepKey).split("\n");
          expect(lines).toContain("stdout: lib");
          expect(lines).not.toContain("stdout: a.txt");
          expect(lines).toContain("stdout: 0");
        });

        it("skips steps as skip.json says", async () => {
          const skip = 'echo \'{"nextStep":"step.1.pre"}\' > skip.json';
          const { id, end } = await run({
            steps: [
              step([skip], { key: "step.0.pre" }),
              step(["exit 1"], { key: "step.0.run" }),
              step(["exit 1"], { key: "step.0.post" }),
              step(["ls"], { key: "step.1.pre" }),
            ],
          });

          expect(end.kind).toBe("markComplete");
          const keys = instance.entries(id).map(({ key }) => key);
          expect(keys.filter((key) => key.startsWith("step."))).toEqual([
            "step.docker.step.0.pre",
            "step.docker.step.1.pre",
          ]);
          expect(instance.out(id, "step.docker.step.1.pre")).not.toContain("stdout: skip.json");
        });

        it("pulls private images with the job's credentials", async () => {
          await using registry = await startPrivateRegistry();
          const [alice] = registry.users;
          const repository = `conformance/${several ? "several" : "one"}`;
          const { authorization } = alice;
          const image = await pushImage(await busyboxImage(), {
            registry: registry.address,
            repository,
            authorization,
          });
          const auth = authorization.replace("Basic ", "");
          const auths = { [registry.address]: { auth } };
          const with_ = await run({ dockerAuthConfig: { auths }, steps: [step(["echo ran"], { image })] });
          const without = await run({ steps: [step(["echo ran"], { image })] });

          expect(with_.end.kind).toBe("markComplete");
          expect(JSON.stringify(instance.entries(with_.id))).not.toContain(auth);
          expect(without.end.kind).not.toBe("markComplete");
        });

        it("reads members of answers in any letter case, as Go's JSON decoder does", async () => {
          instance.knownIdsName = "knownIDs";
          const id = await started({ steps: [step(["echo started", "sleep 7"])] });

          expect((await instance.ended(id)).kind).toBe("markComplete");
          instance.knownIdsName = "knownIds";
        }, 30_000);
      }

      it("did nothing that the protocol does not allow, and drains on a signal", async () => {
        const id = await started({ steps: [step(["echo started", "sleep 2"])] });
        executor.kill("SIGTERM");
        await sleep(1000);
        const late = instance.enqueue({ queue, steps: [step(["true"])] });

        expect(await executor.exited).toBe(0);
        expect(instance.end(id)?.kind).toBe("markComplete");
        expect(instance.end(late)).toBeUndefined();
        expect(instance.violations).toEqual([]);
      }, 30_000);

      it("leaves git's own files in the repository unchanged", async () => {
        expect(await runGit(repository.path, ["rev-parse", "main"])).toBe(repository.head);
      });
    },
  );

  if (wanted !== "5.x") return;
  describe("executor of an instance of 5.x with limits", () => {
    let stack: AsyncDisposableStack;
    let instance: ForeignInstance;
    let target: ExecutorTarget;

    beforeAll(async () => {
      stack = new AsyncDisposableStack();
      const directory = stack.use(await temporaryDirectory()).path;
      instance = stack.use(await ForeignInstance.start({ generation: "5.x", repositoriesDir: directory }));
      target = await createTarget(join(directory, "executor"));
    }, 60_000);
    afterAll(() => stack.disposeAsync());

    const start = (more: Readonly<Record<string, string>>) =>
      target.start({
        EXECUTOR_FRONTEND_URL: instance.url,
        EXECUTOR_FRONTEND_PASSWORD: foreignSecret,
        EXECUTOR_QUEUE_NAME: "batches",
        EXECUTOR_QUEUE_POLL_INTERVAL: "50ms",
        ...more,
      });
    const job = (...commands: string[]): ForeignJob => ({ steps: [{ key: "main", image: target.image, commands }] });

    it("exits with status 0 after EXECUTOR_NUM_TOTAL_JOBS jobs", async () => {
      const ids = [1, 2, 3].map(() => instance.enqueue(job("true")));
      await using executor = await start({ EXECUTOR_NUM_TOTAL_JOBS: "2" });

      expect(await executor.exited).toBe(0);
      expect(ids.map((id) => instance.end(id)?.kind)).toEqual(["markComplete", "markComplete", undefined]);
      instance.withdraw(ids[2] ?? 0);
    }, 30_000);

    it("exits with status 0 after EXECUTOR_MAX_ACTIVE_TIME, when its job has ended", async () => {
      await using executor = await start({ EXECUTOR_MAX_ACTIVE_TIME: "2s" });
      const id = instance.enqueue(job("sleep 3"));

      expect(await executor.exited).toBe(0);
      expect(instance.end(id)?.kind).toBe("markComplete");
    }, 30_000);

    it("ends a job at EXECUTOR_MAXIMUM_RUNTIME_PER_JOB as errored, and reports why", async () => {
      const id = instance.enqueue(job("sleep 300"));
      await using executor = await start({ EXECUTOR_MAXIMUM_RUNTIME_PER_JOB: "1s" });
      const end = await instance.ended(id);

      expect(end).toMatchObject({
        kind: "markErrored",
        errorMessage: expect.stringMatching(/maximum execution time/),
      });
      executor.kill("SIGTERM");
      expect(await executor.exited).toBe(0);
    }, 30_000);

    it("exits with status 0 on the second signal, and does not abandon its job", async () => {
      const id = instance.enqueue(job("echo started", "sleep 300"));
      await using executor = await start({});
      await instance.until(() => instance.out(id, "step.docker.main").includes("started"));
      executor.kill("SIGTERM");
      await sleep(500);
      executor.kill("SIGTERM");

      expect(await executor.exited).toBe(0);
      expect(instance.end(id)?.kind).toBe("markErrored");
    }, 30_000);

    it("waits for an instance that has not started yet", async () => {
      await instance.suspend();
      await using patient = await start({});
      await sleep(1500);
      await instance.resume();
      const id = instance.enqueue(job("true"));
      expect((await instance.ended(id)).kind).toBe("markComplete");
      patient.kill("SIGTERM");
      expect(await patient.exited).toBe(0);
    }, 30_000);

    it("exits with status 1 if the shared secret is wrong", async () => {
      await using executor = await start({ EXECUTOR_FRONTEND_PASSWORD: "another-secret-of-twenty-chars" });

      expect(await executor.exited).toBe(1);
      expect(executor.output()).toContain("EXECUTOR_FRONTEND_PASSWORD");
    }, 30_000);
  });
}
