import { connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { createDatabase, describeWithEngines, engines } from "@airlock/test-kit";
import { sql } from "kysely";
import { expect, it } from "vitest";
import { openDatabase } from "../store/database.ts";
import { jobHeaders, startTestInstance, type TakenJob, type TestInstance } from "../testing/test-instance.ts";

interface ShownJob {
  readonly state: string;
  readonly attempts: readonly { readonly attempt: number; readonly state: string; readonly failureReason: string }[];
}

const extension = { slots: 1, capabilities: ["attempts"] };

async function take(at: TestInstance, executorName: string, waitMs = 0): Promise<TakenJob | undefined> {
  const body = { executorName, airlock: { ...extension, waitMs } };
  const response = await at.executor("queue/default/dequeue", body);
  return response.status === 200 ? ((await response.json()) as TakenJob) : undefined;
}

async function show(at: TestInstance, id: number): Promise<ShownJob> {
  return (await (await at.rest("GET", `/jobs/${id}`)).json()) as ShownJob;
}

describeWithEngines(["postgres"], "an instance with absent executors", () => {
  const setLease = (at: TestInstance, leaseMs: number) => at.rest("PATCH", "/queues/default", { leaseMs });

  it("does not count its own downtime against leases, since it can't receive heartbeats then", async () => {
    await using database = await createDatabase(engines().postgres?.url ?? "");
    const first = await startTestInstance({ url: database.url });
    expect((await setLease(first, 2000)).status).toBe(200);
    const id = await first.submit();
    const job = await take(first, "patient");
    await first[Symbol.asyncDispose]();
    await sleep(3000);

    await using second = await startTestInstance({ url: database.url });
    await sleep(1000);

    expect((await show(second, id)).attempts).toHaveLength(1);
    const heartbeat = { executorName: "patient", version: "V2", jobIds: [id], airlock: { ...extension, attempts: {} } };
    const heard = await second.executor("queue/default/heartbeat", heartbeat);
    expect(await heard.json()).toMatchObject({ knownIds: [String(id)] });
    const end = { executorName: "patient", jobId: id, attempt: 1 };
    const headers = jobHeaders(job ?? expect.fail(), "patient");
    expect((await second.executor("queue/default/markComplete", end, headers)).status).toBe(204);
    expect(await show(second, id)).toMatchObject({ state: "completed" });
  }, 20_000);

  it("lets a lease expire when its executor sends no heartbeat after a restart of the instance", async () => {
    await using database = await createDatabase(engines().postgres?.url ?? "");
    const first = await startTestInstance({ url: database.url });
    await setLease(first, 2000);
    const id = await first.submit();
    const job = await take(first, "dead");
    await first[Symbol.asyncDispose]();
    await using second = await startTestInstance({ url: database.url });

    const next = await take(second, "alive", 10_000);

    expect([next?.id, next?.airlock.attempt]).toEqual([id, 2]);
    // The first attempt's late report has no effect.
    const end = { executorName: "dead", jobId: id, attempt: 1 };
    const headers = jobHeaders(job ?? expect.fail(), "dead");
    expect((await second.executor("queue/default/markComplete", end, headers)).status).toBe(404);
    expect(await show(second, id)).toMatchObject({ state: "processing" });
  }, 20_000);

  it("keeps an executor drained after a minute of silence if it is still the same process", async () => {
    await using database = await createDatabase(engines().postgres?.url ?? "");
    await using instance = await startTestInstance({ url: database.url });
    await using db = await openDatabase({ url: database.url, maxConnections: 1 });
    const beat = async (process: string) => {
      const airlock = { ...extension, process, paused: true };
      const body = { executorName: "away", version: "V2", jobIds: [], airlock };
      return (await instance.executor("queue/default/heartbeat", body)).json();
    };
    await beat("1");
    expect((await instance.rest("POST", "/executors/away/drain")).status).toBe(200);
    await sql`update executors set last_seen_at = airlock_now() - interval '1 minute'`.execute(db);
    expect(await beat("1")).toMatchObject({ airlock: { drain: true, stay: true } });
    expect(await beat("2")).not.toHaveProperty("airlock");
  }, 20_000);

  it("gives no job to an executor that is draining, even if its request still waits", async () => {
    await using target = await startTestInstance(await createDatabase(engines().postgres?.url ?? ""));
    const waiting = take(target, "leaving", 2500);
    const beat = { executorName: "leaving", version: "V2", jobIds: [], airlock: { ...extension, draining: true } };
    await target.executor("queue/default/heartbeat", beat);
    const id = await target.submit();

    expect(await waiting).toBeUndefined();
    expect((await show(target, id)).attempts).toEqual([]);
    expect((await take(target, "staying"))?.airlock.attempt).toBe(1);
  }, 20_000);

  it("requeues a job whose dequeue response was lost, and never gives it to two executors at once", async () => {
    await using target = await startTestInstance(await createDatabase(engines().postgres?.url ?? ""));
    await setLease(target, 2000);
    const url = new URL(target.url);
    const body = JSON.stringify({ executorName: "cut-off", airlock: { ...extension, waitMs: 10_000 } });
    const socket = connect(Number(url.port), url.hostname);
    socket.on("error", () => {});
    socket.write(
      `POST /.executors/queue/default/dequeue HTTP/1.1\r\nhost: ${url.host}\r\ncontent-type: application/json\r\n` +
        `authorization: token-executor ${target.instance.executorToken}\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
    );
    await sleep(300);
    // Stop reading: the response stays in transit, then the connection breaks.
    socket.pause();
    const id = await target.submit();
    await expect.poll(async () => (await show(target, id)).attempts.length).toBe(1);
    socket.resetAndDestroy();
    const startedAt = performance.now();

    const next = await take(target, "another", 8000);

    expect(performance.now() - startedAt).toBeLessThan(5000);
    expect(next).toMatchObject({ id, airlock: { attempt: 2 } });
    const { attempts } = await show(target, id);
    expect(attempts.map(({ state }) => state)).toEqual(["errored", "processing"]);
  }, 20_000);
});
