import { ApiError, ExecutorList, JobList, JobView, ProblemDetails, QueueList, RepositoryView } from "@airlock/api";
import {
  createDatabase,
  describeWithEngines,
  engines,
  type FixtureRepository,
  makeRepository,
  type TemporaryDirectory,
  temporaryDirectory,
} from "@airlock/test-kit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { routeRules } from "../../access/route-rules.ts";
import { startTestInstance, type TestInstance } from "../../testing/test-instance.ts";

const newDatabase = () => createDatabase(engines().postgres?.url ?? "");

describeWithEngines(["postgres"], "the REST API", () => {
  let target: TestInstance;
  let directory: TemporaryDirectory;
  let repository: FixtureRepository;
  beforeAll(async () => {
    directory = await temporaryDirectory();
    const files = [{ path: "README.md", content: "# Hello\n" }];
    repository = await makeRepository(`${directory.path}/app.git`, [{ message: "One", files, tag: "v1" }]);
    target = await startTestInstance(await newDatabase());
  });
  afterAll(async () => {
    await target?.[Symbol.asyncDispose]();
    await directory?.[Symbol.asyncDispose]();
  });

  const step = { image: "alpine", run: "true" };
  async function refused(response: Response, status: number): Promise<ApiError["error"]> {
    expect(response.status).toBe(status);
    return ApiError.parse(await response.json()).error;
  }

  describe("authentication", () => {
    it.each([
      ["no token", {}],
      ["a wrong token", { authorization: "Bearer wrong-wrong-wrong-wrong" }],
      ["another scheme", { authorization: "Basic eDp5" }],
      ["a forged cookie", { cookie: "airlock_session=9999999999999.forged" }],
    ])("answers %s with 401 and a hint", async (_title, headers) => {
      const response = await fetch(`${target.url}/api/v1/jobs`, { headers: headers as Record<string, string> });
      expect(await refused(response, 401)).toMatchObject({
        code: "unauthorized",
        hint: expect.stringMatching(/token/),
      });
    });

    it("by session cookie allows reads, and allows changes only from the instance's own pages", async () => {
      const login = (token: string) =>
        fetch(`${target.url}/api/v1/session`, {
          method: "POST",
          headers: { "content-type": "application/json" },
          body: JSON.stringify({ token }),
        });
      expect((await login("not the token")).status).toBe(401);
      const response = await login(target.instance.administratorToken);
      expect(await response.json()).toMatchObject({ role: "administrator" });
      const header = response.headers.get("set-cookie") ?? "";
      expect(header).toMatch(/; HttpOnly/);
      expect(header).toMatch(/; SameSite=Strict/);
      const cookie = header.split(";")[0] ?? "";
      const post = (headers: Record<string, string>) =>
        fetch(`${target.url}/api/v1/jobs`, {
          method: "POST",
          headers: { cookie, "content-type": "application/json", ...headers },
          body: JSON.stringify({ steps: [step] }),
        }).then((answer) => answer.status);
      expect((await fetch(`${target.url}/api/v1/session`, { headers: { cookie } })).status).toBe(200);
      expect(await post({})).toBe(403);
      expect(await post({ origin: "https://evil.example" })).toBe(403);
      expect(await post({ origin: target.url, "sec-fetch-site": "cross-site" })).toBe(403);
      expect(await post({ origin: target.url })).toBe(201);
      expect(await post({ "sec-fetch-site": "same-origin" })).toBe(201);
      const logout = await fetch(`${target.url}/api/v1/session`, { method: "DELETE" });
      expect([logout.status, logout.headers.get("set-cookie")]).toEqual([
        204,
        expect.stringContaining("Expires=Thu, 01"),
      ]);
    });
  });

  describe("a job that violates the schema", () => {
    it.each([
      ["an unknown field", { steps: [step], tiemout: "5m" }, 'Unrecognized key: "tiemout"'],
      ["an unknown field of a step", { steps: [{ ...step, comands: [] }] }, 'steps[0]: Unrecognized key: "comands"'],
      ["no steps", { steps: [] }, "steps: a job must have at least one step"],
      ["a wrong type", { steps: [step], priority: "high" }, "priority: Invalid input: expected number"],
      ["a wrong size", { steps: [step], resources: { memory: "lots" } }, "resources.memory: not a size"],
      ["a wrong egress rule", { steps: [step], egress: { allow: ["http://x"] } }, 'egress.allow[0]: "http://x"'],
      [
        "two steps of one key",
        {
          steps: [
            { ...step, key: "a" },
            { ...step, key: "a" },
          ],
        },
        'steps[1].key: two steps have the name "a"',
      ],
      ["a revision that is an option", { steps: [step], revision: "--upload-pack=x" }, "revision: not a revision"],
      ["run and commands", { steps: [{ ...step, commands: ["x"] }] }, "steps[0]: give exactly one of run and commands"],
    ])("with %s gets a 400 that names the problem", async (_title, body, problem) => {
      const error = await refused(await target.rest("POST", "/jobs", body), 400);
      expect(error.code).toBe("invalid-request");
      expect(error.issues?.join("\n")).toContain(problem);
    });

    it.each([
      ["invalid JSON", "{", 400],
      ["an object with __proto__", '{"steps":[{"image":"alpine","run":"true"}],"__proto__":{"x":1}}', 400],
      ["a list", "[]", 400],
      ["more than 16 MiB", `{"steps":"${"x".repeat(17 * 1024 * 1024)}"}`, 413],
      [
        "text that the database can't hold",
        '{"steps":[{"image":"alpine","run":"true"}],"labels":{"a":"\\u0000"}}',
        400,
      ],
    ])("given as %s gets a client error, not an internal one", async (_title, body, status) => {
      await refused(await target.rest("POST", "/jobs", body), status);
    });
  });

  describe("a job that refers to something that does not exist", () => {
    it.each([
      ["a queue", { queue: "nope" }, "unknown-queue", "queue: "],
      ["a repository", { repository: "nope" }, "unknown-repository", "repository: "],
      ["a secret", { steps: [{ ...step, secrets: ["TOKEN"] }] }, "unknown-secret", undefined],
    ])("gets 422 with a code, the field and a hint for %s", async (_title, extra, code, issue) => {
      const error = await refused(await target.rest("POST", "/jobs", { steps: [step], ...extra }), 422);
      expect(error).toMatchObject({ code, hint: expect.stringMatching(/\w/) });
      if (issue) expect(error.issues?.[0]).toContain(issue);
    });

    it("gets 422 for a revision, while an existing revision is pinned to its commit", async () => {
      const added = await target.rest("POST", "/repositories", { url: repository.path });
      expect(RepositoryView.parse(await added.json())).toMatchObject({
        name: "app",
        state: "ready",
        head: repository.head,
      });
      const submit = (revision: string) => target.rest("POST", "/jobs", { repository: "app", revision, steps: [step] });
      const error = await refused(await submit("no-such-branch"), 422);
      expect(error).toMatchObject({ code: "unknown-revision", issues: [expect.stringContaining("revision: ")] });
      for (const revision of ["HEAD", "main", "v1", repository.head, repository.head.slice(0, 9)]) {
        const job = JobView.parse(await (await submit(revision)).json());
        expect([job.revision, job.commit, job.repository]).toEqual([revision, repository.head, "app"]);
      }
    });
  });

  describe("jobs", () => {
    it("are accepted with a warning if a field has no effect", async () => {
      const job = JobView.parse(
        await (await target.rest("POST", "/jobs", { steps: [step], outputs: ["dist/**"] })).json(),
      );
      expect(job).toMatchObject({ outputs: ["dist/**"], diff: false, artifacts: [], warnings: [] });
      expect(job.steps[0]).toMatchObject({ state: "pending", exitCode: null, durationMs: null });
      expect(job.explanation).toEqual({ code: "no-executor", message: 'No executor is connected to queue "default".' });
    });

    it("are created only once for the same Idempotency-Key", async () => {
      const submit = (body: unknown) =>
        target.rest("POST", "/jobs", body, { "idempotency-key": "the-key" }).then(async (response) => ({
          status: response.status,
          id: ((await response.json()) as { id?: number }).id,
        }));
      const answers = await Promise.all(Array.from({ length: 5 }, () => submit({ steps: [step] })));
      expect(new Set(answers.map((answer) => answer.id)).size).toBe(1);
      expect(answers.map((answer) => answer.status).sort()).toEqual([200, 200, 200, 200, 201]);
      expect((await submit({ steps: [step], priority: 1 })).status).toBe(409);
    });

    it("are listed newest first, with filters and pages", async () => {
      await target.rest("POST", "/queues", { name: "listed" });
      const ids: number[] = [];
      for (let index = 0; index < 5; index++) ids.unshift(await target.submit({ queue: "listed" }));
      await target.rest("POST", `/jobs/${ids[0]}/cancel`);
      const list = async (query: string) => JobList.parse(await (await target.rest("GET", `/jobs?${query}`)).json());
      const first = await list("queue=listed&limit=2");
      expect([first.jobs.map((job) => job.id), first.next]).toEqual([ids.slice(0, 2), ids[1]]);
      const last = await list(`queue=listed&limit=3&before=${first.next}`);
      expect([last.jobs.map((job) => job.id), last.next]).toEqual([ids.slice(2), null]);
      expect((await list("queue=listed&state=canceled")).jobs.map((job) => job.id)).toEqual([ids[0]]);
      expect((await list("queue=listed&state=canceled,queued")).jobs).toHaveLength(5);
      await refused(await target.rest("GET", "/jobs?state=lost"), 400);
      await refused(await target.rest("GET", "/jobs?limit=1000"), 400);
    });

    it("are canceled while open and retried when finished, and other requests get 409", async () => {
      const id = await target.submit();
      expect(await refused(await target.rest("POST", `/jobs/${id}/retry`), 409)).toMatchObject({ code: "wrong-state" });
      const canceled = JobView.parse(await (await target.rest("POST", `/jobs/${id}/cancel`)).json());
      expect(canceled).toMatchObject({ state: "canceled", exitCode: 1 });
      await refused(await target.rest("POST", `/jobs/${id}/cancel`), 409);
      const again = JobView.parse(await (await target.rest("POST", `/jobs/${id}/retry`)).json());
      expect(again).toMatchObject({ state: "queued", exitCode: null, finishedAt: null });
      await refused(await target.rest("POST", "/jobs/999999/cancel"), 404);
      await refused(await target.rest("GET", "/jobs/x"), 400);
    });
  });

  describe("repositories", () => {
    it.each([
      ["ext::sh -c touch% /tmp/owned", "invalid-repository-url"],
      ["--upload-pack=touch /tmp/owned", "invalid-repository-url"],
      ["ssh://-oProxyCommand=x/y", "invalid-repository-url"],
      ["ftp://example.com/x", "invalid-repository-url"],
      ["relative/path", "invalid-repository-url"],
    ])("refuse %s", async (url, code) => {
      expect((await refused(await target.rest("POST", "/repositories", { url }), 422)).code).toBe(code);
    });

    it("never show credentials, and explain why a fetch failed", async () => {
      const url = "http://user:hunter2-secret@127.0.0.1:9/team/x.git";
      const added = await (await target.rest("POST", "/repositories", { url })).text();
      expect(JSON.parse(added)).toMatchObject({
        name: "127.0.0.1-9/team/x",
        url: "http://127.0.0.1:9/team/x.git",
        state: "failed",
        error: expect.stringContaining("cannot fetch http://127.0.0.1:9/team/x.git"),
      });
      expect(added.split("unable to access"), "git's message appears once").toHaveLength(2);
      const list = await (await target.rest("GET", "/repositories")).text();
      const refresh = await target.rest("POST", "/repositories/127.0.0.1-9%2Fteam%2Fx/refresh");
      expect(refresh.status).toBe(502);
      const submit = await target.rest("POST", "/jobs", { repository: url, steps: [step] });
      for (const text of [added, list, await refresh.text(), await submit.text()])
        expect(text).not.toContain("hunter2");
      expect((await target.rest("DELETE", "/repositories/127.0.0.1-9%2Fteam%2Fx")).status).toBe(204);
      expect((await target.rest("GET", "/repositories/127.0.0.1-9%2Fteam%2Fx")).status).toBe(404);
    });

    it("can't have a local path unless that is allowed", async () => {
      await using closed = await startTestInstance(await newDatabase(), { allowLocalRepositories: false });
      for (const url of [repository.path, `file://${repository.path}`]) {
        const error = await refused(await closed.rest("POST", "/repositories", { url }), 422);
        expect(error).toMatchObject({
          code: "local-repository-refused",
          hint: expect.stringContaining("AIRLOCK_ALLOW"),
        });
      }
    });
  });

  it("creates queues and lists them", async () => {
    const created = await target.rest("POST", "/queues", { name: "gpu", maxAttempts: 1 });
    expect([created.status, await created.json()]).toMatchObject([
      201,
      { name: "gpu", maxAttempts: 1, leaseMs: 15_000 },
    ]);
    await refused(await target.rest("POST", "/queues", { name: "gpu" }), 409);
    await refused(await target.rest("POST", "/queues", { name: "Not A Name" }), 400);
    const { queues } = QueueList.parse(await (await target.rest("GET", "/queues")).json());
    expect(queues.map((queue) => queue.name)).toEqual(
      expect.arrayContaining(["batches", "codeintel", "default", "gpu"]),
    );
  });

  it("lists executors as they describe themselves", async () => {
    await target.executor("queue/heartbeat", {
      executorName: "one",
      queueNames: ["default", "gpu"],
      os: "linux",
      architecture: "arm64",
      executorVersion: "1.2.3",
      airlock: { runtime: "oci", runtimeVersion: "crun 1.8", slots: 4, labels: { zone: "b" }, draining: true },
    });
    const { executors } = ExecutorList.parse(await (await target.rest("GET", "/executors")).json());
    expect(executors).toMatchObject([
      { name: "one", active: true, draining: true, runtime: "oci", slots: 4, labels: { zone: "b" }, runningJobs: [] },
    ]);
  });

  it("describes itself without authentication", async () => {
    const response = await fetch(`${target.url}/api/v1/openapi.json`);
    const document = (await response.json()) as { openapi: string; paths: Record<string, Record<string, object>> };
    expect(document.openapi).toBe("3.1.0");
    const routes = Object.entries(document.paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method.toUpperCase()} ${path.replace("/api/v1", "")}`),
    );
    const ruled = Object.keys(routeRules)
      .filter((route) => route.includes("/api/v1/") && !route.endsWith("/openapi.json"))
      .map((route) => route.replace("/api/v1", "").replaceAll(/:(\w+)/g, "{$1}"));
    expect(routes.sort()).toEqual(ruled.sort());
    expect(JSON.stringify(document.paths["/api/v1/jobs"]?.post)).toContain('"required":["steps"]');
  });

  it("describes both forms of errors, and has an example of each body", async () => {
    const document = (await (await fetch(`${target.url}/api/v1/openapi.json`)).json()) as {
      paths: Record<string, Record<string, DescribedOperation>>;
    };
    const lacking = Object.entries(document.paths).flatMap(([path, methods]) =>
      Object.entries(methods).flatMap(([method, { requestBody, responses }]) => [
        ...(requestBody && requestBody.content["application/json"]?.example === undefined
          ? [`${method} ${path}: example`]
          : []),
        ...(["application/json", "application/problem+json"].every((type) => responses["4XX"]?.content?.[type]?.schema)
          ? []
          : [`${method} ${path}: errors`]),
      ]),
    );
    // The provider's browser flow answers with pages.
    expect(lacking.filter((text) => !text.includes("/sign-in/oidc"))).toEqual([]);
  });

  it.each([
    ["an unknown job", "GET", "/jobs/999999", undefined, "not-found", 404],
    ["an unknown route", "GET", "/nope", undefined, "not-found", 404],
    ["a wrong body", "POST", "/queues", { name: "A B" }, "invalid-request", 400],
    ["a malformed address", "GET", "/jobs/%", undefined, "invalid-request", 400],
  ])("sends %s as a problem to clients that accept problems", async (_, method, path, body, code, status) => {
    const ask = (accept: string) => target.rest(method, path, body, { accept });
    for (const accept of ["application/problem+json", "application/json, application/problem+json;q=0.5"]) {
      const response = await ask(accept);
      expect([response.status, response.headers.get("content-type")]).toEqual([
        status,
        expect.stringMatching(/^application\/problem\+json/),
      ]);
      const problem = ProblemDetails.parse(await response.json());
      expect(problem).toMatchObject({ type: `urn:airlock:error:${code}`, code, status });
      expect(problem.title).not.toBe(code);
    }
    for (const accept of ["*/*", "application/json", "application/problem+json;q=0"]) {
      const response = await ask(accept);
      expect(response.headers.get("content-type")).toMatch(/^application\/json/);
      expect(await response.json()).toMatchObject({ error: { code } });
    }
  });

  it("sends a refusal without credentials as a problem, too", async () => {
    const response = await fetch(`${target.url}/api/v1/jobs`, { headers: { accept: "application/problem+json" } });
    expect([response.status, await response.json()]).toMatchObject([401, { code: "unauthorized", status: 401 }]);
  });

  it("answers unknown paths with 404 in its own format, and other paths with the web UI's page", async () => {
    expect((await refused(await target.rest("GET", "/nope"), 404)).hint).toContain("openapi");
    const page = await fetch(`${target.url}/jobs/12`);
    expect([page.status, page.headers.get("content-type")]).toEqual([200, "text/html; charset=utf-8"]);
    expect(page.headers.get("content-security-policy")).toContain("frame-ancestors 'none'");
    expect(page.headers.get("x-content-type-options")).toBe("nosniff");
  });

  it("reports that it is healthy while its database answers, and counts its requests", async () => {
    expect(await (await fetch(`${target.url}/healthz`)).text()).toBe("ok\n");
    const metrics = await (await fetch(`${target.url}/metrics`)).text();
    for (const name of [
      'src_executor_total{queue="default"}',
      'src_executor_queued_duration_seconds_total{queue="default"}',
      "airlock_executors_connected 1",
      'airlock_jobs_submitted_total{queue="default"}',
      "airlock_http_request_duration_seconds_bucket",
    ]) {
      expect(metrics).toContain(name);
    }
  });
});

interface DescribedOperation {
  readonly requestBody?: { readonly content: Record<string, { readonly example?: unknown }> };
  readonly responses: Record<string, { readonly content?: Record<string, { readonly schema?: object }> }>;
}
