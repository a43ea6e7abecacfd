import type { JobView } from "@airlock/api";
import {
  createDatabase,
  describeWithEngines,
  engines,
  makeRepository,
  type TemporaryDirectory,
  temporaryDirectory,
} from "@airlock/test-kit";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { sendRaw } from "../../testing/send-raw.ts";
import { installTestClock, type TestClock } from "../../testing/test-clock.ts";
import { jobHeaders, startTestInstance, type TakenJob, type TestInstance } from "../../testing/test-instance.ts";

const queue = "contested";
const leaseMs = 600_000;
const startTime = "2026-01-01T00:00:00Z";
const entry = { key: "step.docker.main", command: ["sh"], startTime, out: "stdout: forged\n", exitCode: 0 };
const forged = Buffer.from("forged\n").toString("base64");

const usage = {
  ...{ step: 0, startedAt: startTime, intervalMs: 1000, durationMs: 1000 },
  limits: { cpus: 1, memoryBytes: 1, diskBytes: null },
  ...{ cpuMs: [1], memoryBytes: [666], diskBytes: null, receivedBytes: null, sentBytes: null },
};

interface Route {
  readonly title: string;
  readonly method: string;
  readonly path: (job: number, attempt: number) => string;
  readonly body?: (attempt: number) => Record<string, unknown>;
}

const post = (path: string, body: Route["body"]): Route => ({
  title: path,
  method: "POST",
  path: () => `queue/${queue}/${path}`,
  ...(body ? { body } : {}),
});

/** Every route that accepts a job's token. */
const routes: readonly Route[] = [
  post("logs", (attempt) => ({
    attempt,
    events: [{ kind: "chunk", entryId: 1, offset: 5, stream: "stdout", data: forged }],
  })),
  post("addExecutionLogEntry", () => entry),
  post("updateExecutionLogEntry", () => ({ ...entry, entryId: 1 })),
  post("usage", (attempt) => ({ attempt, usage })),
  post("markComplete", (attempt) => ({ attempt })),
  post("markErrored", (attempt) => ({ attempt, errorMessage: "forged" })),
  post("markFailed", (attempt) => ({ attempt, errorMessage: "forged" })),
  {
    title: "artifacts",
    method: "PUT",
    path: (_job, attempt) => `queue/${queue}/artifacts?attempt=${attempt}&name=a.diff&kind=diff`,
  },
  { title: "files", method: "GET", path: (job) => `files/batch-changes/${job}/${"0".repeat(64)}` },
  { title: "git refs", method: "GET", path: () => "git/team/own/info/refs?service=git-upload-pack" },
  { title: "git fetch", method: "POST", path: () => "git/team/own/git-upload-pack" },
];

describeWithEngines(["postgres"], "job tokens", () => {
  let target: TestInstance;
  let clock: TestClock;
  let directory: TemporaryDirectory;
  let victim: TakenJob;
  let lapsed: TakenJob;
  let thief: TakenJob;
  let ended: TakenJob;

  beforeAll(async () => {
    directory = await temporaryDirectory();
    target = await startTestInstance(await createDatabase(engines().postgres?.url ?? ""));
    clock = await installTestClock(target.instance.databaseUrl);
    await target.rest("POST", "/queues", { name: queue, leaseMs });
    for (const name of ["own", "other"]) {
      const { path } = await makeRepository(`${directory.path}/${name}`, [
        { message: "First", files: [{ path: "secret", content: name }] },
      ]);
      await target.rest("POST", "/repositories", { name: `team/${name}`, url: path });
    }
    const id = await target.submit({ queue, repository: "team/own", files: { "note.txt": "of the victim" } });
    lapsed = await take("before");
    await clock.moveBy(leaseMs + 1000);
    victim = await take("victim");
    expect([lapsed.id, victim.id, victim.airlock.attempt]).toEqual([id, id, 2]);
    const events = [
      { kind: "open", entryId: 1, key: "step.docker.main", command: [], startTime },
      { kind: "chunk", entryId: 1, offset: 0, stream: "stdout", data: Buffer.from("real\n").toString("base64") },
    ];
    const body = { executorName: "victim", jobId: id, attempt: 2, events };
    const logged = await target.executor(`queue/${queue}/logs`, body, jobHeaders(victim, "victim"));
    expect(logged.status).toBe(204);
    await target.submit({ queue, repository: "team/other" });
    thief = await take("thief");
    await target.submit({ queue, repository: "team/own" });
    ended = await take("ended");
    const done = { executorName: "ended", jobId: ended.id };
    await target.executor(`queue/${queue}/markComplete`, done, jobHeaders(ended, "ended"));
  });
  afterAll(async () => {
    vi.useRealTimers();
    await clock?.[Symbol.asyncDispose]();
    await target?.[Symbol.asyncDispose]();
    await directory?.[Symbol.asyncDispose]();
  });

  async function take(executorName: string): Promise<TakenJob> {
    const response = await target.executor(`queue/${queue}/dequeue`, { executorName, airlock: { waitMs: 5000 } });
    expect(response.status).toBe(200);
    return (await response.json()) as TakenJob;
  }

  function send(route: Route, headers: Record<string, string>): Promise<Response> {
    const body = { executorName: "victim", jobId: victim.id, ...route.body?.(victim.airlock.attempt) };
    const sent = route.method === "GET" ? {} : { body: route.body ? JSON.stringify(body) : "0000" };
    return fetch(`${target.url}/.executors/${route.path(victim.id, victim.airlock.attempt)}`, {
      method: route.method,
      headers,
      ...sent,
    });
  }

  async function all(job: number): Promise<unknown> {
    const view = (await (await target.rest("GET", `/jobs/${job}`)).json()) as JobView;
    const log = await (await target.rest("GET", `/jobs/${job}/logs?notes=false`)).text();
    return { ...view, log, explanation: view.explanation.code };
  }

  const unsigned = [
    { alg: "none", typ: "JWT" },
    { job: 1, executor: "victim", exp: 9_999_999_999 },
  ]
    .map((part) => Buffer.from(JSON.stringify(part)).toString("base64url"))
    .join(".");

  const hands: readonly (readonly [string, () => Record<string, string>])[] = [
    ["the thief's token with the thief's headers", () => jobHeaders(thief, "thief")],
    ["the thief's token with the victim's headers", () => jobHeaders({ ...victim, token: thief.token }, "victim")],
    ["the thief's token with the victim's job", () => jobHeaders({ ...victim, token: thief.token }, "thief")],
    ["the victim's token with another name", () => jobHeaders(victim, "thief")],
    ["the victim's token with another job", () => jobHeaders({ ...victim, id: thief.id }, "victim")],
    ["the token of the attempt that lapsed", () => jobHeaders(lapsed, "before")],
    ["the token of the attempt that lapsed, with the new name", () => jobHeaders(lapsed, "victim")],
    ["the token of an attempt that ended", () => jobHeaders(ended, "ended")],
    ["the token in capitals", () => jobHeaders({ ...victim, token: victim.token.toUpperCase() }, "victim")],
    ["the beginning of the token", () => jobHeaders({ ...victim, token: victim.token.slice(0, 39) }, "victim")],
    ["a token that nobody signed", () => jobHeaders({ ...victim, token: `${unsigned}.` }, "victim")],
    ["no token", () => ({ ...jobHeaders(victim, "victim"), authorization: "Bearer " })],
    [
      "the executors' secret as a token",
      () => jobHeaders({ ...victim, token: target.instance.executorToken }, "victim"),
    ],
    [
      "the executors' secret",
      () => ({ ...jobHeaders(victim, "victim"), authorization: `token-executor ${target.instance.executorToken}` }),
    ],
    ["the administrator's token", () => jobHeaders({ ...victim, token: target.instance.administratorToken }, "victim")],
  ];

  describe.each(hands)("%s", (_title, headers) => {
    it.each(routes)("gives no access to $title", async (route) => {
      const before = await all(victim.id);
      const response = await send(route, headers());
      // An artifact's URL names an attempt but no job. With the thief's own headers, that attempt doesn't exist: 409.
      expect(route.title === "artifacts" ? [401, 403, 409] : [401, 403]).toContain(response.status);
      const said = await response.text();
      for (const secret of [victim.token, thief.token, lapsed.token, target.instance.executorToken]) {
        expect(said).not.toContain(secret);
      }
      expect(await all(victim.id)).toEqual(before);
    });
  });

  it("give no access to executor routes, however they are presented", async () => {
    const beat = { version: "V2", executorName: "victim", jobIds: [victim.id] };
    for (const authorization of [`Bearer ${victim.token}`, `token-executor ${victim.token}`]) {
      const headers = { ...jobHeaders(victim, "victim"), authorization };
      const statuses = [];
      for (const path of ["dequeue", "heartbeat", "canceled", "canceledJobs"]) {
        statuses.push((await target.executor(`queue/${queue}/${path}`, beat, headers)).status);
      }
      const events = await fetch(`${target.url}/.executors/events?executorName=victim`, { headers });
      await events.body?.cancel();
      expect([...statuses, events.status]).toEqual([401, 401, 401, 401, 401]);
    }
  });

  it("do not let an executor that lies about job ids extend another executor's lease or learn about its jobs", async () => {
    const before = await all(victim.id);
    const ids = [victim.id, ...Array.from({ length: 9999 }, (_, index) => index + 100)];
    const beat = await target.executor(`queue/${queue}/heartbeat`, {
      version: "V2",
      executorName: "liar",
      jobIds: ids,
    });
    expect(await beat.json()).toEqual({ knownIds: [], cancelIds: [] });
    expect(await all(victim.id)).toEqual(before);
  });

  it("do not let an executor take over another's attempt by using its name", async () => {
    const id = await target.submit({ queue });
    const mine = await take("impostor");
    // The victim's name in the body, with the impostor's own token and headers.
    const body = { executorName: "victim", jobId: id, attempt: 1 };
    const response = await target.executor(`queue/${queue}/markComplete`, body, jobHeaders(mine, "impostor"));
    expect(response.status).toBe(403);
    const own = { ...body, executorName: "impostor" };
    const ownHeaders = jobHeaders(mine, "impostor");
    expect((await target.executor(`queue/${queue}/markComplete`, own, ownHeaders)).status).toBe(204);
  });

  it("still work for their own executor", async () => {
    const headers = jobHeaders(victim, "victim");
    const refs = await fetch(`${target.url}/.executors/git/team/own/info/refs?service=git-upload-pack`, { headers });
    expect(refs.status).toBe(200);
    expect(await refs.text()).toContain("git-upload-pack");
  });

  it.each([
    ["another repository", "git/team/other/info/refs?service=git-upload-pack", 403],
    ["dots before its own name", "git/team/other/../own/info/refs?service=git-upload-pack", 403],
    ["dots after its own name", "git/team/own/../other/info/refs?service=git-upload-pack", 403],
    ["encoded dots", "git/team/own/%2e%2e/other/info/refs?service=git-upload-pack", 403],
    ["an encoded slash", "git/team%2Fother/info/refs?service=git-upload-pack", 403],
    ["double slashes", "git//team//other/info/refs?service=git-upload-pack", 403],
    ["a leading slash", "git//etc/info/refs?service=git-upload-pack", 403],
    ["a NUL", "git/team/own%00/info/refs?service=git-upload-pack", 403],
    ["an option", "git/--upload-pack=x/info/refs?service=git-upload-pack", 403],
    ["a name in capitals", "git/TEAM/OWN/info/refs?service=git-upload-pack", 403],
    ["a second service", "git/team/own/info/refs?service=git-upload-pack&service=git-receive-pack", 403],
    ["a service in the fragment of a name", "git/team/own%3Fservice=git-upload-pack/info/refs", 403],
    ["receive-pack", "git/team/own/info/refs?service=git-receive-pack", 403],
    ["receive-pack by its route", "git/team/own/git-receive-pack", 404],
    ["a file of the mirror", "git/team/own/objects/info/packs", 404],
    ["the mirror's configuration", "git/team/own/config", 404],
    ["no service", "git/team/own/info/refs", 403],
  ])("give no access to a path with %s", async (_title, path, status) => {
    // Don't use fetch: it normalizes URLs before it sends them.
    const answer = await sendRaw(target.url, {
      method: path.endsWith("receive-pack") && !path.includes("?") ? "POST" : "GET",
      path: `/.executors/${path}`,
      headers: jobHeaders(victim, "victim"),
    });
    expect([answer.status, answer.text]).toEqual([status, expect.not.stringContaining("# service")]);
  });

  it("are counted and logged when they are refused, without showing a secret", async () => {
    const page = await (await fetch(`${target.url}/metrics`)).text();
    const count = (api: string, status: number) =>
      Number(new RegExp(`auth\\w+_failures_total\\{api="${api}",status="${status}"\\} (\\d+)`).exec(page)?.[1] ?? 0);
    expect(count("executor", 401)).toBeGreaterThan(10);
    expect(count("executor", 403)).toBeGreaterThan(10);
    expect((await target.rest("GET", "/jobs", undefined, { authorization: "Bearer guess" })).status).toBe(401);
    const after = await (await fetch(`${target.url}/metrics`)).text();
    expect(after).toContain('airlock_http_authentication_failures_total{api="rest",status="401"} 1');
    for (const secret of [victim.token, target.instance.executorToken, "guess"]) expect(after).not.toContain(secret);
  });

  it("stay valid by the database's clock alone, however far the instance's own clock is off", async () => {
    for (const skewMs of [3_600_000, -3_600_000]) {
      vi.useFakeTimers({ toFake: ["Date"], now: Date.now() + skewMs });
      const id = await target.submit({ queue });
      const job = await take("skewed");
      expect([job.id, job.airlock.attempt]).toEqual([id, 1]);
      // Long enough for several sweeps of lapsed leases.
      await new Promise((resolve) => setTimeout(resolve, 1200));
      expect(await all(id)).toMatchObject({ state: "processing", attempt: 1, executor: "skewed" });
      expect(await all(victim.id)).toMatchObject({ state: "processing", attempt: 2 });
      const done = { executorName: "skewed", jobId: id, attempt: 1 };
      const marked = await target.executor(`queue/${queue}/markComplete`, done, jobHeaders(job, "skewed"));
      expect(marked.status).toBe(204);
      vi.useRealTimers();
    }
  });

  it.each([3_600_000, -3_600_000, 30 * 365 * 86_400_000])(
    "do not depend on the executor's clock: a start time that is %d ms off is only shown",
    async (skewMs) => {
      const id = await target.submit({ queue });
      const job = await take("skewed");
      const began = new Date(Date.now() + skewMs).toISOString();
      const events = [{ kind: "open", entryId: 1, key: "a", command: [], startTime: began }];
      const body = { executorName: "skewed", jobId: id, attempt: 1 };
      const headers = jobHeaders(job, "skewed");
      const logged = await target.executor(`queue/${queue}/logs`, { ...body, events }, headers);
      expect(logged.status).toBe(204);
      expect(await all(id)).toMatchObject({ state: "processing", attempt: 1, entries: [{ startedAt: began }] });
      expect((await target.executor(`queue/${queue}/markComplete`, body, headers)).status).toBe(204);
    },
  );

  it("can't write anything after their attempt has ended", async () => {
    const before = await all(ended.id);
    const headers = jobHeaders(ended, "ended");
    const body = { executorName: "ended", jobId: ended.id, attempt: 1 };
    const events = [{ kind: "open", entryId: 1, key: "late", command: [], startTime }];
    const statuses = [];
    for (const [path, extra] of [
      ["logs", { events }],
      ["addExecutionLogEntry", entry],
      ["updateExecutionLogEntry", { ...entry, entryId: 1 }],
      ["markFailed", { errorMessage: "after all" }],
      ["markErrored", { errorMessage: "after all" }],
    ] as const) {
      statuses.push((await target.executor(`queue/${queue}/${path}`, { ...body, ...extra }, headers)).status);
    }
    expect(statuses).toEqual([409, 500, 500, 404, 404]);
    expect(await all(ended.id)).toEqual(before);
  });
});
