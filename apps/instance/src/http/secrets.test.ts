import { once } from "node:events";
import http from "node:http";
import { JobPayload, JobView, SecretAudit, SecretList, SecretView } from "@airlock/api";
import { createDatabase, describeWithEngines, engines, type TestDatabase } from "@airlock/test-kit";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { tablesWithText } from "../testing/tables-with-text.ts";
import { startTestInstance, type TestInstance } from "../testing/test-instance.ts";

const key = "5f".repeat(32);
const secretKeys = { kind: "text", text: key } as const;

describeWithEngines(["postgres"], "secrets of an instance", () => {
  let database: TestDatabase;
  let target: TestInstance;
  let other: TestInstance;
  let queues = 0;
  beforeAll(async () => {
    database = await createDatabase(engines().postgres?.url ?? "");
    target = await startTestInstance({ url: database.url }, { secretKeys });
    other = await startTestInstance({ url: database.url }, { secretKeys });
  });
  afterAll(async () => {
    await other?.[Symbol.asyncDispose]();
    await target?.[Symbol.asyncDispose]();
    await database?.[Symbol.asyncDispose]();
  });

  const newQueue = async () => {
    const name = `secrets-${++queues}`;
    expect((await target.rest("POST", "/queues", { name, backoffMs: 0 })).status).toBe(201);
    return name;
  };
  const set = async (name: string, value: string, more: object = {}) => {
    const response = await target.rest("PUT", `/secrets/${name}`, { value, ...more });
    expect([200, 201], await response.clone().text()).toContain(response.status);
    return SecretView.parse(await response.json());
  };
  const remove = (name: string, query = "") => target.rest("DELETE", `/secrets/${name}${query}`);
  const step = (secrets: readonly unknown[], key = "main") => ({ key, image: "alpine", run: "true", secrets });
  const capabilities = ["attempts", "secret-files"];
  const dequeue = async (queue: string, body: object = { airlock: { capabilities } }, at = target) => {
    const response = await at.executor(`queue/${queue}/dequeue`, {
      executorName: "builder",
      version: "5.3.0",
      ...body,
    });
    return response.status === 204 ? null : JobPayload.parse(await response.json());
  };
  const job = async (id: number) => JobView.parse(await (await target.rest("GET", `/jobs/${id}`)).json());
  const audit = async (query: string) =>
    SecretAudit.parse(await (await target.rest("GET", `/secrets/audit?${query}`)).json());

  it("reach only the steps that name them, whichever instance hands the job out", async () => {
    const queue = await newQueue();
    await set("NPM_TOKEN", "npm-value-1234");
    await set("KEY", "line one\nline two\n");
    await target.submit({
      queue,
      steps: [step(["NPM_TOKEN"], "a"), step([{ name: "KEY", file: true }], "b"), step([], "c")],
    });
    const payload = await dequeue(queue, undefined, other);
    expect(payload?.dockerSteps.map(({ env }) => env)).toEqual([["NPM_TOKEN=npm-value-1234"], [], []]);
    expect(payload?.airlock?.secretFiles).toEqual([{ step: 1, name: "KEY", value: "line one\nline two\n" }]);
    expect(payload?.redactedValues).toEqual({
      "npm-value-1234": `\${{ secrets.NPM_TOKEN }}`,
      "line one\nline two\n": `\${{ secrets.KEY }}`,
    });
    expect(payload?.dockerAuthConfig).toEqual({});
  });

  it("of a namespace take precedence over those of a queue, which take precedence over global ones", async () => {
    const queue = await newQueue();
    const values = async () => {
      for (const namespace of ["red", "blue"]) await target.submit({ queue, namespace, steps: [step(["LAYERED"])] });
      return [(await dequeue(queue))?.dockerSteps[0]?.env, (await dequeue(queue))?.dockerSteps[0]?.env].flat();
    };
    await set("LAYERED", "of everybody");
    expect(await values()).toEqual(["LAYERED=of everybody", "LAYERED=of everybody"]);
    await set("LAYERED", "of the queue", { queue });
    expect(await values()).toEqual(["LAYERED=of the queue", "LAYERED=of the queue"]);
    await set("LAYERED", "of red", { namespace: "red" });
    expect(await values()).toEqual(["LAYERED=of red", "LAYERED=of the queue"]);
    await set("LAYERED", "of red in the queue", { namespace: "red", queue });
    await set("LAYERED", "elsewhere", { namespace: "red", queue: "default" });
    expect(await values()).toEqual(["LAYERED=of red in the queue", "LAYERED=of the queue"]);
    expect((await remove("LAYERED", "?namespace=red")).status).toBe(204);
    expect((await remove("LAYERED", "?namespace=red")).status).toBe(404);
    expect(await values()).toEqual(["LAYERED=of red in the queue", "LAYERED=of the queue"]);
  });

  it("that are missing are all listed with their steps when the job is submitted", async () => {
    await set("OF_BLUE", "value-of-blue", { namespace: "blue" });
    const response = await target.rest("POST", "/jobs", { steps: [step(["NO_SUCH"], "a"), step(["OF_BLUE"], "b")] });
    expect(response.status).toBe(422);
    expect(((await response.json()) as { error: unknown }).error).toMatchObject({
      code: "unknown-secret",
      message: 'no such secret: steps[0].secrets: "NO_SUCH", steps[1].secrets: "OF_BLUE"',
      issues: ['steps[0].secrets: no secret named "NO_SUCH"', 'steps[1].secrets: no secret named "OF_BLUE"'],
    });
    expect((await target.rest("POST", "/jobs", { namespace: "blue", steps: [step(["OF_BLUE"])] })).status).toBe(201);
  });

  it.each([
    ["a lower-case name", ["token"]],
    ["the same name twice", ["A", "A"]],
    ["an invalid value for file", [{ name: "A", file: "yes" }]],
    ["an unknown member", [{ name: "A", path: "/etc/passwd" }]],
    ["a path", ["../A"]],
  ])("can't be requested by %s", async (_title, secrets) => {
    await set("A", "value-of-a");
    expect((await target.rest("POST", "/jobs", { steps: [step(secrets)] })).status).toBe(400);
  });

  it("can't replace a variable of the step", async () => {
    await set("A", "value-of-a");
    for (const [env, secrets] of [
      [{ A: "x" }, ["A"]],
      [{ A_FILE: "x" }, [{ name: "A", file: true }]],
    ]) {
      const response = await target.rest("POST", "/jobs", { steps: [{ ...step(secrets as string[]), env }] });
      expect([response.status, await response.text()]).toEqual([400, expect.stringContaining("is already set")]);
    }
  });

  it("that exceed the size limit of a step's environment are refused at submission", async () => {
    const names = Array.from({ length: 10 }, (_, index) => `LONG_${index}`);
    for (const name of names) await set(name, "é".repeat(30_000));
    const env = Object.fromEntries(Array.from({ length: 4 }, (_, index) => [`E${index}`, "x".repeat(120_000)]));
    const submit = (steps: readonly object[]) => target.rest("POST", "/jobs", { steps });

    const response = await submit([step([]), { ...step(names, "b"), env }]);

    expect(response.status).toBe(422);
    expect(((await response.json()) as { error: unknown }).error).toMatchObject({
      code: "environment-too-long",
      issues: ["steps[1].secrets: 1.0 MiB together with the step's env; the limit per step is 1 MiB"],
      hint: expect.stringContaining("file: true"),
    });
    // Each of the two fits alone, and files don't count.
    expect((await submit([step(names), { ...step([], "b"), env }])).status).toBe(201);
    const files = names.map((name) => ({ name, file: true }));
    expect((await submit([{ ...step(files), env }])).status).toBe(201);
  });

  it("that have grown beyond the limit of a step fail its job when an executor asks for it", async () => {
    const queue = await newQueue();
    await set("GROWS", "short-value");
    const env = Object.fromEntries(Array.from({ length: 8 }, (_, index) => [`E${index}`, "x".repeat(130_000)]));
    const id = await target.submit({ queue, steps: [{ ...step(["GROWS"]), env }] });
    await set("GROWS", "x".repeat(60_000));

    expect(await dequeue(queue)).toBeNull();
    expect(await job(id)).toMatchObject({
      state: "failed",
      failureReason: "secret-unavailable",
      failureMessage: expect.stringMatching(/step "main" are 1\.\d MiB in total; the limit per step is 1 MiB/),
    });
  });

  it("that were deleted after submission fail the job, and the executor gets the next job", async () => {
    const queue = await newQueue();
    await set("SHORT_LIVED", "value-short-lived");
    const lost = await target.submit({ queue, steps: [step(["SHORT_LIVED"])] });
    const next = await target.submit({ queue });
    expect((await remove("SHORT_LIVED")).status).toBe(204);
    expect((await dequeue(queue))?.id).toBe(next);
    expect(await job(lost)).toMatchObject({
      state: "failed",
      failureReason: "secret-unavailable",
      failureMessage: expect.stringContaining('step "main" uses the secret SHORT_LIVED, which no longer exists'),
    });
  });

  it("can't be swapped with another row of the database, and the attempt reveals nothing", async () => {
    const queue = await newQueue();
    await set("LOW", "value-of-low");
    await set("HIGH", "value-of-high", { namespace: "vault" });
    const client = new pg.Client({ connectionString: database.url });
    await client.connect();
    await client.query(
      `update secrets set sealed = (select sealed from secrets where name = 'HIGH') where name = 'LOW'`,
    );
    await client.end();
    const id = await target.submit({ queue, steps: [step(["LOW"])] });
    expect(await dequeue(queue)).toBeNull();
    expect(await job(id)).toMatchObject({
      state: "failed",
      failureReason: "secret-unavailable",
      failureMessage: expect.stringContaining('secret "LOW" cannot be decrypted'),
    });
    await set("LOW", "set again 123");
    await target.submit({ queue, steps: [step(["LOW"])] });
    expect((await dequeue(queue))?.dockerSteps[0]?.env).toEqual(["LOW=set again 123"]);
  });

  it("are sent again with the job if the answer was lost", async () => {
    const queue = await newQueue();
    await set("TWICE", "x".repeat(60_000));
    const id = await target.submit({
      queue,
      steps: Array.from({ length: 120 }, (_, index) => step(["TWICE"], `s${index}`)),
    });
    // The client reads only the head of the response.
    const body = JSON.stringify({ executorName: "builder", airlock: { waitMs: 5000, capabilities } });
    const request = http.request(`${target.url}/.executors/queue/${queue}/dequeue`, {
      method: "POST",
      headers: { authorization: `token-executor ${target.instance.executorToken}` },
    });
    request.on("error", () => {});
    request.end(body);
    const [response] = (await once(request, "response")) as [http.IncomingMessage];
    response.pause();
    response.socket.destroy();
    const again = await dequeue(queue, { airlock: { waitMs: 10_000, capabilities } });
    expect(again).toMatchObject({ id, airlock: { attempt: 2 } });
    expect(again?.dockerSteps).toHaveLength(120);
    expect(again?.dockerSteps[119]?.env[0]).toHaveLength("TWICE=".length + 60_000);
  });

  it("are sent again with the job if the executor hung up while they were prepared", async () => {
    const queue = await newQueue();
    await set("SLOW", "value-that-is-slow");
    const id = await target.submit({ queue, steps: [step(["SLOW"])] });
    const client = new pg.Client({ connectionString: database.url });
    await client.connect();
    // Blocks the audit record that is written before the response.
    await client.query("begin; lock table secret_events in access exclusive mode");
    const hangUp = new AbortController();
    const body = { executorName: "builder", airlock: { waitMs: 5000, capabilities } };
    const polled = target.executor(`queue/${queue}/dequeue`, body, undefined, hangUp.signal).catch(() => null);
    await expect.poll(async () => (await job(id)).state).toBe("processing");
    hangUp.abort();
    expect(await polled).toBeNull();
    await new Promise((resolve) => setTimeout(resolve, 200));
    await client.query("rollback");
    await client.end();
    expect(await dequeue(queue, { airlock: { waitMs: 5000, capabilities } })).toMatchObject({
      id,
      airlock: { attempt: 2 },
    });
  });

  describe("for a foreign executor", () => {
    it("are environment variables, and their values are masked line by line", async () => {
      const queue = await newQueue();
      await set("NPM_TOKEN", "npm-value-1234");
      await set("PAIR", "{\nfirst line\n}\n");
      await set("BIT", "1");
      await target.submit({ queue, steps: [step(["NPM_TOKEN", "BIT", "PAIR"], "a"), step([], "b")] });
      const payload = await dequeue(queue, {});
      expect(payload?.dockerSteps.map(({ env }) => env)).toEqual([
        ["NPM_TOKEN=npm-value-1234", "BIT=1", "PAIR={\nfirst line\n}\n"],
        [],
      ]);
      const pair = `\${{ secrets.PAIR }}`;
      expect(payload?.redactedValues).toEqual({
        "npm-value-1234": `\${{ secrets.NPM_TOKEN }}`,
        "{\nfirst line\n}\n": pair,
        "{\nfirst line\n}": pair,
        "first line": pair,
      });
    });

    it("can't be files: the job waits for an executor that supports secret files", async () => {
      const queue = await newQueue();
      await set("KEY", "key-value-1234");
      const id = await target.submit({ queue, steps: [step([{ name: "KEY", file: true }])] });
      expect(await dequeue(queue, {})).toBeNull();
      expect(await job(id)).toMatchObject({ state: "queued", failureMessage: null });
      expect(await dequeue(queue, { airlock: { capabilities } })).toMatchObject({ id });
    });
  });

  describe("for registries", () => {
    const auth = Buffer.from("robot:registry-password").toString("base64");
    afterAll(async () => {
      await remove("DOCKER_AUTH_CONFIG");
      await remove("DOCKER_AUTH_CONFIG", "?namespace=green");
    });

    it("are used to pull the job's images, hidden in its log and kept from its steps", async () => {
      const queue = await newQueue();
      await set("DOCKER_AUTH_CONFIG", JSON.stringify({ auths: { "registry.example.com": { auth } }, credsStore: "x" }));
      const entry = { username: "green", password: "green-password" };
      await set("DOCKER_AUTH_CONFIG", JSON.stringify({ auths: { "green.example.com": entry } }), {
        namespace: "green",
      });
      await target.submit({ queue });
      await target.submit({ queue, namespace: "green" });
      const payload = await dequeue(queue);
      expect(payload?.dockerAuthConfig).toEqual({ auths: { "registry.example.com": { auth } } });
      expect(payload?.dockerSteps[0]?.env).toEqual([]);
      expect(Object.keys(payload?.redactedValues ?? {})).toEqual(expect.arrayContaining([auth, "registry-password"]));
      expect((await dequeue(queue))?.dockerAuthConfig).toEqual({
        auths: { "green.example.com": { auth: Buffer.from("green:green-password").toString("base64") } },
      });
      expect((await audit("name=DOCKER_AUTH_CONFIG&action=used")).events[1]).toMatchObject({ step: null, attempt: 1 });
    });

    it.each([
      ["not JSON", "{ password: hunter2-hunter2 }", "is not JSON"],
      ["JSON of another shape", '{"auths":"hunter2-hunter2"}', "is not JSON"],
      ["an invalid auth value", '{"auths":{"a":{"auth":"hunter2-hunter2"}}}', "is not base64 of user:password"],
    ])(
      "that are %s fail the job with a clear reason that does not repeat the value",
      async (_title, value, message) => {
        const queue = await newQueue();
        await set("DOCKER_AUTH_CONFIG", value);
        const id = await target.submit({ queue });
        expect(await dequeue(queue)).toBeNull();
        const failed = await job(id);
        expect(failed).toMatchObject({ state: "failed", failureReason: "secret-unavailable" });
        expect(failed.failureMessage).toContain(`DOCKER_AUTH_CONFIG can't be used`);
        expect(failed.failureMessage).toContain(message);
        expect(JSON.stringify(failed)).not.toContain("hunter2");
      },
    );
  });

  describe("when they are set", () => {
    it.each([
      ["an empty value", "", 400],
      ["NUL", "a\0b", 400],
      ["a lone surrogate", "\ud800 hunter2", 400],
      ["more than 64 KiB", "x".repeat(65_537), 400],
      ["more than 64 KiB of longer characters", "ä".repeat(32_769), 400],
      ["exactly 64 KiB in the longest JSON encoding", "\u0001".repeat(65_536), 201],
    ])("have limits on their size and characters: %s", async (title, value, status) => {
      const response = await target.rest("PUT", "/secrets/BOUNDS", { value });
      expect([title, response.status]).toEqual([title, status]);
      expect(await response.text()).not.toContain("hunter2");
    });

    it("keep their description unless a new one is given, and one row per scope under concurrent writes", async () => {
      const all = Array.from({ length: 8 }, (_, index) =>
        target.rest("PUT", "/secrets/RACE", { value: `value ${index}` }),
      );
      const statuses = (await Promise.all(all)).map(({ status }) => status).sort();
      expect(statuses).toEqual([200, 200, 200, 200, 200, 200, 200, 201]);
      await set("RACE", "described", { description: "what for" });
      expect(await set("RACE", "again")).toMatchObject({ description: "what for", createdBy: "administrator" });
      const { secrets } = SecretList.parse(await (await target.rest("GET", "/secrets")).json());
      expect(secrets.filter(({ name }) => name === "RACE")).toHaveLength(1);
    });

    it("are accessible only to the administrator", async () => {
      for (const [method, path] of [
        ["GET", "/secrets"],
        ["PUT", "/secrets/A"],
        ["DELETE", "/secrets/A"],
        ["GET", "/secrets/audit"],
        ["POST", "/secrets/rotate"],
      ] as const) {
        const response = await target.rest(method, path, method === "PUT" ? { value: "x" } : undefined, {
          authorization: `Bearer ${target.instance.executorToken}`,
        });
        expect([path, response.status]).toEqual([path, 401]);
      }
    });
  });

  it("leave an audit log with pages, which remains after they are deleted", async () => {
    const queue = await newQueue();
    await set("RECORDED", "first-value", { namespace: "record" });
    await set("RECORDED", "second-value", { namespace: "record" });
    const id = await target.submit({
      queue,
      namespace: "record",
      steps: [step(["RECORDED"], "one"), step(["RECORDED"], "two")],
    });
    await dequeue(queue);
    await remove("RECORDED", "?namespace=record");
    const first = await audit("name=RECORDED&limit=2");
    const second = await audit(`name=RECORDED&limit=200&before=${first.next}`);
    expect([...first.events, ...second.events]).toMatchObject([
      { action: "deleted", actor: "administrator", via: "token", job: null },
      { action: "used", actor: "builder", via: "lease", job: id, attempt: 1, step: "two" },
      { action: "used", actor: "builder", via: "lease", job: id, attempt: 1, step: "one" },
      { action: "changed", namespace: "record", queue: null },
      { action: "created", namespace: "record", queue: null },
    ]);
    expect(second.next).toBeNull();
    expect((await audit(`job=${id}`)).events).toHaveLength(2);
    expect((await target.rest("GET", "/secrets/audit?limit=1000")).status).toBe(400);
  });

  it("show in the audit log how the caller authenticated, and when a job used them", async () => {
    const login = await fetch(`${target.url}/api/v1/session`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ token: target.instance.administratorToken }),
    });
    const response = await fetch(`${target.url}/api/v1/secrets/FROM_BROWSER`, {
      method: "PUT",
      headers: {
        "content-type": "application/json",
        cookie: login.headers.get("set-cookie")?.split(";")[0] ?? "",
        "sec-fetch-site": "same-origin",
      },
      body: JSON.stringify({ value: "browser-value" }),
    });
    expect(SecretView.parse(await response.json()).lastUsedAt).toBeNull();
    expect((await audit("name=FROM_BROWSER")).events).toMatchObject([{ action: "created", via: "session" }]);
    const queue = await newQueue();
    await target.submit({ queue, steps: [step(["FROM_BROWSER"])] });
    await dequeue(queue);
    const { secrets } = SecretList.parse(await (await target.rest("GET", "/secrets")).json());
    expect(secrets.find(({ name }) => name === "FROM_BROWSER")?.lastUsedAt).not.toBeNull();
  });

  it("appear in no answer of the REST API and in no table", async () => {
    const queue = await newQueue();
    const value = "needle-5f2b8c1d9e";
    const auth = Buffer.from(`robot:${value}`).toString("base64");
    await set("NEEDLE", value, { description: "harmless" });
    await target.rest("POST", "/repositories", { url: `https://robot:${value}@127.0.0.1:9/app.git`, name: "needle" });
    const id = await target.submit({ queue, steps: [step(["NEEDLE", { name: "NEEDLE", file: true }])] });
    await set("DOCKER_AUTH_CONFIG", JSON.stringify({ auths: { "r.example.com": { auth } } }));
    expect((await dequeue(queue))?.dockerSteps[0]?.env).toEqual([`NEEDLE=${value}`]);
    await remove("DOCKER_AUTH_CONFIG");

    const description = (await (await target.rest("GET", "/openapi.json")).json()) as { paths: Record<string, object> };
    const paths = Object.entries(description.paths).flatMap(([path, methods]) =>
      "get" in methods ? [path.replace("/api/v1", "")] : [],
    );
    expect(paths).toContain("/secrets/audit");
    for (const path of paths.filter((each) => !each.includes("events"))) {
      const url = path
        .replace("{name}", "needle")
        .replace(/\/artifacts\/\{[a-zA-Z]+\}/, "/artifacts/1")
        .replace("{id}", String(id));
      const text = await (await target.rest("GET", url)).text();
      expect(text.includes(value) || text.includes(auth), url).toBe(false);
    }
    for (const path of ["/metrics", "/healthz"])
      expect(await (await fetch(target.url + path)).text()).not.toContain(value);

    expect(await tablesWithText(database.url, [value, auth])).toEqual([]);
  });
});
