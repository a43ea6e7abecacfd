import { JobView, QueueView } from "@airlock/api";
import { createDatabase, describeWithEngines, engines } from "@airlock/test-kit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ForeignExecutor } from "../../testing/foreign-executor.ts";
import { startTestInstance, type TestInstance } from "../../testing/test-instance.ts";

const generations = [2022, 2024] as const;

describeWithEngines(["postgres"], "executors without Airlock's extensions", () => {
  let target: TestInstance;
  beforeAll(async () => {
    const database = await createDatabase(engines().postgres?.url ?? "");
    target = await startTestInstance(database, { legacySharedSecret: true });
  });
  afterAll(() => target?.[Symbol.asyncDispose]());

  let queues = 0;
  async function newQueue(settings: object = {}): Promise<string> {
    const name = `foreign-${++queues}`;
    expect((await target.rest("POST", "/queues", { name, ...settings })).status).toBe(201);
    return name;
  }
  const show = async (id: number) => JobView.parse(await (await target.rest("GET", `/jobs/${id}`)).json());
  const step = { key: "main", image: "alpine", run: "true" };
  const takeAsAirlock = async (queue: string, capabilities = ["attempts", "results", "secret-files"]) => {
    const response = await target.executor(`queue/${queue}/dequeue`, {
      executorName: `airlock-${queue}`,
      airlock: { capabilities },
    });
    return response.status === 200 ? ((await response.json()) as { id: number }).id : undefined;
  };

  describe.each(generations)("of the year %i", (generation) => {
    it.each([
      ["egress", { egress: "none" }],
      ["egress", { egress: "public" }],
      ["timeout", { timeout: "5m" }],
      ["resources", { resources: { memory: "256Mi" } }],
      ["resources", { resources: { pids: 100 } }],
      ["checkout", { checkout: { depth: 5 } }],
      ["checkout", { checkout: { tags: true } }],
      ["outputs", { outputs: ["dist/**"] }],
      ["diff", { diff: true }],
      ["image: host", { steps: [{ ...step, image: "host" }] }],
      ["#! lines for other interpreters", { steps: [{ ...step, run: "#!/usr/bin/env python3\nprint(1)" }] }],
    ])("leave a job that asks for %s in its queue: %j", async (name, spec) => {
      const queue = await newQueue();
      const executor = new ForeignExecutor(target, generation, { queue, name: `of-${queue}` });
      await executor.connect();
      const id = await target.submit({ queue, ...spec });

      expect(await executor.dequeue()).toBeUndefined();

      const job = await show(id);
      expect(job).toMatchObject({ state: "queued", explanation: { code: "no-matching-executor" } });
      expect(job.explanation.message).toContain(`No executor of queue "${queue}" supports ${name}.`);
      const { jobs } = (await (await target.rest("GET", `/jobs?queue=${queue}`)).json()) as { jobs: JobView[] };
      expect(jobs.map(({ obstacle }) => obstacle)).toEqual([job.explanation.message]);
      expect(await takeAsAirlock(queue)).toBe(id);
    });

    it("get jobs that need only the base protocol", async () => {
      const queue = await newQueue();
      const executor = new ForeignExecutor(target, generation, { queue, name: `plain-${queue}` });
      const id = await target.submit({
        queue,
        checkout: { depth: 1, tags: false, paths: [] },
        resources: {},
        outputs: [],
        diff: false,
        priority: 3,
        steps: [{ ...step, run: "#!/bin/bash\ntrue" }],
      });
      const job = await executor.dequeue();
      expect(job?.id).toBe(id);
      expect(job).not.toHaveProperty("airlock");
    });

    it("get jobs that need more if the queue's administrator allows it, and the job says so", async () => {
      const queue = await newQueue();
      const executor = new ForeignExecutor(target, generation, { queue, name: `allowed-${queue}` });
      await executor.connect();
      const id = await target.submit({ queue, egress: "none", outputs: ["dist/**"] });
      expect(await executor.dequeue()).toBeUndefined();
      expect((await show(id)).explanation.message).toContain("allowUnenforced");

      const changed = await target.rest("PATCH", `/queues/${queue}`, { allowUnenforced: true });
      expect(QueueView.parse(await changed.json())).toMatchObject({ allowUnenforced: true });

      expect((await show(id)).explanation).toMatchObject({ code: "waiting-for-executor" });
      const job = (await executor.dequeue()) ?? expect.fail();
      await executor.run(job);
      expect(await show(id)).toMatchObject({
        state: "completed",
        warnings: [
          `Attempt 1 ran without its egress and outputs: executor "${executor.name}" does not support them, and queue "${queue}" allows that.`,
        ],
      });
    });

    it("never get jobs that they would run incorrectly, whatever the queue allows", async () => {
      const queue = await newQueue({ allowUnenforced: true });
      const executor = new ForeignExecutor(target, generation, { queue, name: `wrong-${queue}` });
      await executor.connect();
      const id = await target.submit({ queue, steps: [{ ...step, image: "host" }] });
      expect(await executor.dequeue()).toBeUndefined();
      const { message } = (await show(id)).explanation;
      expect(message).toBe(
        `No executor of queue "${queue}" supports image: host. An up-to-date Airlock executor with EXECUTOR_RUNTIME=docker or oci does; it also needs EXECUTOR_ALLOW_HOST_IMAGE=true.`,
      );
    });

    it("end a script at the first command that fails", async () => {
      const queue = await newQueue();
      const executor = new ForeignExecutor(target, generation, { queue, name: `strict-${queue}` });
      const id = await target.submit({ queue, steps: [{ ...step, run: "echo before\nfalse\necho after" }] });
      await executor.run((await executor.dequeue()) ?? expect.fail());

      expect(await show(id)).toMatchObject({ state: "failed", exitCode: 1 });
      const log = await (await target.rest("GET", `/jobs/${id}/logs`)).text();
      expect(log).toMatch(/^before$/m);
      expect(log).not.toMatch(/^after$/m);
    });

    it.each([
      [
        "shell",
        '#!/usr/bin/env bash\nset +e\n[[ abc == a* ]] && echo "matched in bash"',
        /^matched in bash$/m,
        "completed",
      ],
      ["option", '#!/bin/sh -u\necho "<$not_set>"\ntrue', /not_set/, "failed"],
    ])("run a script with the %s that its first line asks for", async (_title, run, expected, state) => {
      const queue = await newQueue();
      const executor = new ForeignExecutor(target, generation, { queue, name: `shell-${queue}` });
      const id = await target.submit({ queue, steps: [{ ...step, run }] });
      await executor.run((await executor.dequeue()) ?? expect.fail());
      const log = await (await target.rest("GET", `/jobs/${id}/logs`)).text();
      expect(log).toMatch(expected);
      expect(await show(id)).toMatchObject({ state });
    });

    it("report a failing step as an error, which the instance shows as the job's own failure with the step's exit code", async () => {
      const queue = await newQueue({ backoffMs: 0 });
      const executor = new ForeignExecutor(target, generation, { queue, name: `failing-${queue}` });
      const steps = [
        { ...step, key: "prepare" },
        { ...step, key: "test", run: "exit 3" },
        { ...step, key: "pack" },
      ];
      const id = await target.submit({ queue, steps });
      await executor.run((await executor.dequeue()) ?? expect.fail());

      expect(await executor.dequeue()).toBeUndefined();
      expect(await show(id)).toMatchObject({
        state: "failed",
        exitCode: 3,
        failureReason: "step-failed",
        attempts: [{ attempt: 1, state: "failed" }],
        steps: [
          { key: "prepare", state: "succeeded", exitCode: 0 },
          { key: "test", state: "failed", exitCode: 3 },
          { key: "pack", state: "skipped", exitCode: null },
        ],
      });
    });

    it.each([
      ["its own work fails", "setup.git.fetch", 128, "stderr: fatal: unable to access\n"],
      ["a step was killed", "step.docker.0", -1, ""],
      [
        "docker can't run a step",
        "step.docker.0",
        125,
        "stderr: docker: Cannot connect to the Docker daemon at unix:///var/run/docker.sock.\nstderr: See 'docker run --help'.\n",
      ],
    ])("report an error, and the job is retried, when %s", async (_title, key, exitCode, output) => {
      const queue = await newQueue({ backoffMs: 0 });
      const executor = new ForeignExecutor(target, generation, { queue, name: `erring-${queue}` });
      const id = await target.submit({ queue });
      const job = (await executor.dequeue()) ?? expect.fail();
      await executor.log(job, key, exitCode, output);
      await executor.errored(job, "a reason outside the job");

      expect(await show(id)).toMatchObject({ state: "queued", attempts: [{ state: "errored" }] });
      expect((await executor.dequeue())?.id).toBe(id);
    });

    it("report exit code 125 of a script as the job's own failure", async () => {
      const queue = await newQueue({ backoffMs: 0 });
      const executor = new ForeignExecutor(target, generation, { queue, name: `125-${queue}` });
      const id = await target.submit({ queue, steps: [{ ...step, run: "echo docker: is away; exit 125" }] });
      await executor.run((await executor.dequeue()) ?? expect.fail());
      expect(await show(id)).toMatchObject({ state: "failed", exitCode: 125 });
    });

    it("report a canceled job's failing step as a cancellation", async () => {
      const queue = await newQueue();
      const executor = new ForeignExecutor(target, generation, { queue, name: `canceled-${queue}` });
      const id = await target.submit({ queue, steps: [{ ...step, run: "exit 3" }] });
      const job = (await executor.dequeue()) ?? expect.fail();
      expect((await target.rest("POST", `/jobs/${id}/cancel`)).status).toBe(200);
      await executor.run(job);
      expect(await show(id)).toMatchObject({ state: "canceled", attempts: [{ state: "canceled" }] });
    });

    it("do not report how many slots they have", async () => {
      const queue = await newQueue();
      const executor = new ForeignExecutor(target, generation, { queue, name: `slots-${queue}` });
      await executor.connect();
      const { executors } = (await (await target.rest("GET", "/executors")).json()) as {
        executors: { name: string; slots: unknown }[];
      };
      expect(executors.find(({ name }) => name === executor.name)).toMatchObject({ slots: null });
      const id = await target.submit({ queue });
      expect((await show(id)).explanation.message).toBe("Waiting to be taken, first in line: 1 executor connected.");
      await executor.dequeue();
      const next = await target.submit({ queue });
      expect((await show(next)).explanation.message).toBe(
        "Waiting, first in line: 1 executor connected, which runs 1 job.",
      );
    });
  });

  it("get the jobs that they can run from a queue where an Airlock executor waits too", async () => {
    const queue = await newQueue();
    const foreign = new ForeignExecutor(target, 2024, { queue, name: `both-${queue}` });
    const strict = await target.submit({ queue, egress: "none" });
    const plain = await target.submit({ queue });
    expect((await foreign.dequeue())?.id).toBe(plain);
    expect(await takeAsAirlock(queue, ["attempts"])).toBe(strict);
  });

  it("get no jobs with results, and neither do Airlock executors that can't store results", async () => {
    const queue = await newQueue();
    const id = await target.submit({ queue, diff: true });
    expect(await takeAsAirlock(queue, ["attempts"])).toBeUndefined();
    expect(await takeAsAirlock(queue, ["attempts", "results"])).toBe(id);
  });
});
