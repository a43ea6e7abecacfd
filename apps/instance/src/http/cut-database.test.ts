import { createDatabase, describeWithEngines, engines } from "@airlock/test-kit";
import pg from "pg";
import { afterAll, beforeAll, expect, it } from "vitest";
import { jobHeaders, startTestInstance, type TakenJob, type TestInstance } from "../testing/test-instance.ts";

const executorName = "e";
const rounds = 12;
const chunk = Buffer.alloc(64 * 1024, "0123456789abcde\n");

// An unhandled rejection would end the instance's process. Here it fails the whole run.
describeWithEngines(["postgres"], "an instance whose connections to the database are cut", () => {
  let target: TestInstance;
  let database: pg.Client;
  beforeAll(async () => {
    const fresh = await createDatabase(engines().postgres?.url ?? "");
    target = await startTestInstance(fresh);
    database = new pg.Client({ connectionString: fresh.url });
    await database.connect();
    await target.rest("PATCH", "/queues/default", { leaseMs: 3_600_000 });
  });
  afterAll(async () => {
    await database?.end();
    await target?.[Symbol.asyncDispose]();
  });

  /** Ends every connection, or only cancels what it does. A server whose parent was killed gets both. */
  const cut = (how: "cancel" | "terminate") =>
    database.query(`select pg_${how}_backend(pid) from pg_stat_activity
      where datname = current_database() and pid <> pg_backend_pid()`);

  it("answers every request that was running, recovers by itself and loses nothing that it confirmed", async () => {
    const first = await target.submit();
    const taken = await target.executor("queue/default/dequeue", { executorName, airlock: { waitMs: 5000 } });
    const job = (await taken.json()) as TakenJob;
    expect(job.id).toBe(first);
    const leave = new AbortController();
    const stream = await fetch(`${target.url}/api/v1/jobs/${job.id}/events`, {
      headers: { authorization: `Bearer ${target.instance.administratorToken}` },
      signal: leave.signal,
    });
    const drained = (async () => {
      for await (const _part of stream.body ?? []);
    })().catch((error: unknown) => {
      if (!leave.signal.aborted) throw error;
    });
    const append = (events: readonly unknown[]) =>
      target.executor(
        "queue/default/logs",
        { executorName, jobId: job.id, attempt: 1, events },
        jobHeaders(job, executorName),
      );
    /** Repeats the append until it is confirmed, as an executor does. */
    const appendSurely = async (events: readonly unknown[]): Promise<void> => {
      for (let tries = 0; tries < 100; tries += 1) {
        const { status } = await append(events);
        if (status === 204) return;
        expect(status).toBeGreaterThanOrEqual(500);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      throw new Error("the log was never taken");
    };
    await appendSurely([{ kind: "open", entryId: 1, key: "a", command: ["sh"], startTime: "2026-01-01T00:00:00Z" }]);
    expect((await target.rest("POST", "/queues", { name: "parked" })).status).toBe(201);
    const polls = Array.from({ length: 4 }, (_, index) =>
      target.executor("queue/parked/dequeue", { executorName: `parked-${index}`, airlock: { waitMs: 15_000 } }),
    );
    await expect
      .poll(async () => (await (await fetch(`${target.url}/metrics`)).text()).includes("airlock_dequeue_parked 4"))
      .toBe(true);
    const statuses = new Set<number>();
    let cutting = true;
    const confirmed: number[] = [];
    const others = Array.from({ length: 6 }, async (_, index) => {
      while (cutting) {
        const responses = [
          await target.rest("POST", "/jobs", { queue: "default", steps: [{ image: "alpine", run: "true" }] }),
          await target.executor("queue/codeintel/dequeue", { executorName: `o${index}`, airlock: { waitMs: 20 } }),
          await target.executor("queue/default/heartbeat", { version: "V2", executorName, jobIds: [job.id] }),
          await target.rest("GET", `/jobs/${job.id}`),
          await fetch(`${target.url}/metrics`),
          // Wakes the parked polls, but fits none of them.
          await target.rest("POST", "/jobs", {
            queue: "parked",
            labels: { none: "offers-it" },
            steps: [{ image: "alpine", run: "true" }],
          }),
        ];
        for (const [place, response] of responses.entries()) {
          statuses.add(response.status);
          const text = await response.text();
          if (place === 0 && response.status === 201) confirmed.push((JSON.parse(text) as { id: number }).id);
          // PostgreSQL's messages belong in the log, not in the response.
          expect(text).not.toMatch(/terminat|ECONN|backend|administrator command/i);
        }
      }
    });
    const writing = (async () => {
      for (let index = 0; cutting; index += 1) {
        const offset = index * chunk.length;
        await appendSurely([{ kind: "chunk", entryId: 1, offset, stream: "stdout", data: chunk.toString("base64") }]);
        if (!cutting) return offset + chunk.length;
      }
      return 0;
    })();
    for (let round = 0; round < rounds; round += 1) {
      await new Promise((resolve) => setTimeout(resolve, 100));
      await cut(round % 3 === 0 ? "terminate" : "cancel");
    }
    cutting = false;
    const length = await writing;
    await Promise.all(others);
    expect([...statuses].filter((status) => ![200, 201, 204, 503].includes(status))).toEqual([]);
    // Connections were cut, and requests succeeded in between.
    expect(statuses.has(503)).toBe(true);
    // Parked polls stay parked while the database is away.
    const parked = await target.rest("POST", "/jobs", { queue: "parked", steps: [{ image: "alpine", run: "true" }] });
    expect(parked.status).toBe(201);
    const answers = await Promise.all(polls);
    expect(answers.map((answer) => answer.status)).toEqual(answers.map(() => expect.toBeOneOf([200, 204])));
    expect(answers.filter((answer) => answer.status === 200)).toHaveLength(1);
    expect(confirmed.length).toBeGreaterThan(0);
    await expect.poll(async () => (await fetch(`${target.url}/healthz`)).status).toBe(200);
    for (const id of confirmed) expect((await target.rest("GET", `/jobs/${id}`)).status).toBe(200);
    const log = Buffer.from(await (await target.rest("GET", `/jobs/${job.id}/logs?entry=1`)).arrayBuffer());
    expect(log.length).toBe(length);
    expect(log.equals(Buffer.alloc(length, chunk))).toBe(true);
    const body = { executorName, jobId: job.id, attempt: 1 };
    const done = await target.executor("queue/default/markComplete", body, jobHeaders(job, executorName));
    expect(done.status).toBe(204);
    leave.abort();
    await drained;
    expect(await target.submit()).toBeGreaterThan(0);
  }, 60_000);
});
