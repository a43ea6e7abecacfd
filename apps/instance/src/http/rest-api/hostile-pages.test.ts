import { createDatabase, describeWithEngines, engines } from "@airlock/test-kit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { sendRaw } from "../../testing/send-raw.ts";
import { jobHeaders, startTestInstance, type TakenJob, type TestInstance } from "../../testing/test-instance.ts";
import { securityHeaders } from "../security-headers.ts";

const executorName = "e";
const html = "<!doctype html><script>fetch('/api/v1/jobs')</script>\n";
/** The instance checks every three seconds whether a stream may continue. */
const streamEndsWithinMs = 6000;

interface Route {
  readonly method: string;
  readonly path: string;
}

/** Routes for people without a session. They have their own tests. */
const signingIn: ReadonlySet<string> = new Set([
  "/session",
  "/sign-in",
  "/command-line-logins",
  "/command-line-logins/token",
  "/sign-in/oidc",
  "/sign-in/oidc/callback",
  "/password",
]);

describeWithEngines(["postgres"], "attacks on the REST API", () => {
  let target: TestInstance;
  let routes: readonly Route[];
  let job: TakenJob;
  beforeAll(async () => {
    target = await startTestInstance(await createDatabase(engines().postgres?.url ?? ""));
    const { paths } = (await (await fetch(`${target.url}/api/v1/openapi.json`)).json()) as {
      paths: Record<string, Record<string, unknown>>;
    };
    routes = Object.entries(paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => ({
        method: method.toUpperCase(),
        path: path.replace(/^\/api\/v1/, "").replace(/\{\w+\}/g, "1"),
      })),
    );
    await target.submit({ outputs: ["a"] });
    const body = { executorName, airlock: { waitMs: 5000, capabilities: ["results", "attempts", "log-batch"] } };
    job = (await (await target.executor("queue/default/dequeue", body)).json()) as TakenJob;
    const events = [
      { kind: "open", entryId: 1, key: "step.docker.main", command: ["sh"], startTime: "2026-01-01T00:00:00Z" },
      { kind: "chunk", entryId: 1, offset: 0, stream: "stdout", data: Buffer.from(html).toString("base64") },
    ];
    const log = { executorName, jobId: job.id, attempt: 1, events };
    expect((await target.executor("queue/default/logs", log, jobHeaders(job, executorName))).status).toBe(204);
    expect((await putArtifact("page.html")).status).toBe(204);
  });
  afterAll(async () => {
    await target?.[Symbol.asyncDispose]();
  });

  function putArtifact(name: string): Promise<Response> {
    const query = new URLSearchParams({ attempt: "1", name, kind: "file-archive" });
    return fetch(`${target.url}/.executors/queue/default/artifacts?${query}`, {
      method: "PUT",
      headers: { "content-type": "text/html", ...jobHeaders(job, executorName) },
      body: html,
    });
  }
  async function login(): Promise<string> {
    const response = await fetch(`${target.url}/api/v1/session`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ token: target.instance.administratorToken }),
    });
    return (response.headers.get("set-cookie") ?? "").split(";")[0] ?? "";
  }
  const state = async () => JSON.stringify(await (await target.rest("GET", "/jobs")).json());
  const changing = () => routes.filter(({ method, path }) => method !== "GET" && !signingIn.has(path));

  describe("a page of another site", () => {
    it.each<[string, Record<string, string>]>([
      ["without an origin", {}],
      ["with its origin", { origin: "https://evil.example" }],
      ['with the origin "null"', { origin: "null" }],
      ["marked as cross-site by the browser", { "sec-fetch-site": "cross-site" }],
      ["on a neighbouring host", { "sec-fetch-site": "same-site" }],
      ["with a form", { origin: "https://evil.example", "content-type": "application/x-www-form-urlencoded" }],
      ["that sends JSON as plain text", { origin: "https://evil.example", "content-type": "text/plain" }],
    ])("%s can't change anything through a session on any route", async (_title, headers) => {
      const cookie = await login();
      const before = await state();
      const statuses = await Promise.all(
        changing().map(async ({ method, path }) => {
          const response = await fetch(`${target.url}/api/v1${path}`, {
            method,
            headers: { cookie, ...headers },
            ...(method === "DELETE" ? {} : { body: JSON.stringify({ steps: [{ image: "alpine", run: "true" }] }) }),
          });
          return `${method} ${path} ${response.status}`;
        }),
      );
      expect(statuses.length).toBeGreaterThan(10);
      expect(statuses.filter((line) => !line.endsWith(" 403"))).toEqual([]);
      expect(await state()).toBe(before);
    });

    it("can neither start nor end a session", async () => {
      const cookie = await login();
      const headers = { cookie, origin: "https://evil.example", "content-type": "application/json" };
      const body = JSON.stringify({ token: target.instance.administratorToken });
      const begun = await fetch(`${target.url}/api/v1/session`, { method: "POST", headers, body });
      expect([begun.status, begun.headers.get("set-cookie")]).toEqual([403, null]);
      expect((await fetch(`${target.url}/api/v1/session`, { method: "DELETE", headers: { cookie } })).status).toBe(403);
      expect((await fetch(`${target.url}/api/v1/session`, { headers: { cookie } })).status).toBe(200);
    });
  });

  it.each(["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/json"])(
    "a body with the content type %s is not read as JSON from any client",
    async (type) => {
      const before = await state();
      const body = JSON.stringify({ steps: [{ image: "alpine", run: "true" }] });
      const response = await target.rest("POST", "/jobs", body, { "content-type": type });
      expect([400, 415]).toContain(response.status);
      expect(await state()).toBe(before);
    },
  );

  it("every route except the session and the API description refuses callers without the administrator's token", async () => {
    const guarded = routes.filter(({ path }) => !signingIn.has(path));
    expect(guarded.length).toBeGreaterThan(20);
    const { executorToken, administratorToken } = target.instance;
    const credentials: Record<string, string>[] = [
      {},
      { authorization: `Bearer ${executorToken}` },
      { authorization: `token-executor ${executorToken}` },
      { authorization: `token-executor ${administratorToken}` },
      { authorization: `Bearer ${administratorToken}x` },
      { authorization: `Bearer ${administratorToken.slice(0, -1)}` },
      { authorization: `Basic ${Buffer.from(`x:${administratorToken}`).toString("base64")}` },
      jobHeaders(job, executorName),
      { cookie: `airlock_session=${administratorToken}` },
      { cookie: `airlock_session=9999999999999.${"0".repeat(24)}.${"A".repeat(43)}` },
    ];
    const open: string[] = [];
    for (const headers of credentials) {
      const asked = guarded.map(async ({ method, path }) => {
        const response = await fetch(`${target.url}/api/v1${path}?token=${administratorToken}`, { method, headers });
        const text = await response.text();
        if (response.status !== 401 || text.includes("script")) open.push(`${method} ${path}: ${response.status}`);
      });
      await Promise.all(asked);
    }
    expect(open).toEqual([]);
  });

  describe("a session that has ended", () => {
    it("is invalid for every copy of its cookie, while other sessions go on", async () => {
      const [cookie, other] = [await login(), await login()];
      expect(cookie).not.toBe(other);
      const end = await fetch(`${target.url}/api/v1/session`, {
        method: "DELETE",
        headers: { cookie, origin: target.url },
      });
      expect(end.status).toBe(204);
      expect((await fetch(`${target.url}/api/v1/jobs`, { headers: { cookie } })).status).toBe(401);
      expect((await fetch(`${target.url}/api/v1/jobs`, { headers: { cookie: other } })).status).toBe(200);
    });

    it("closes its own event streams and no others", async () => {
      const [cookie, other] = [await login(), await login()];
      const leave = new AbortController();
      const open = (path: string, headers: Record<string, string>) =>
        fetch(`${target.url}/api/v1${path}`, { headers, signal: leave.signal });
      const drained = async (response: Response): Promise<string> => {
        for await (const _part of response.body ?? []);
        return "ended";
      };
      const streams = await Promise.all(["/events", `/jobs/${job.id}/events`].map((path) => open(path, { cookie })));
      const kept = [
        await open("/events", { cookie: other }),
        await open("/events", { authorization: `Bearer ${target.instance.administratorToken}` }),
      ];
      const ended = Promise.all(streams.map(drained));
      const othersEnded = Promise.race(kept.map((response) => drained(response).catch(() => "left")));
      await fetch(`${target.url}/api/v1/session`, { method: "DELETE", headers: { cookie, origin: target.url } });
      const late = new Promise((resolve) => setTimeout(resolve, streamEndsWithinMs, "late"));
      expect(await Promise.race([ended, late])).toEqual(["ended", "ended"]);
      expect(await Promise.race([othersEnded, new Promise((resolve) => setTimeout(resolve, 3500, "open"))])).toBe(
        "open",
      );
      leave.abort();
      await othersEnded;
    });
  });

  describe("responses to a browser", () => {
    it.each<[string, string, number, string]>([
      ["data", "/api/v1/jobs", 200, "application/json"],
      ["an error", "/api/v1/jobs/999999", 404, "application/json"],
      ["an unknown route", "/api/v1/nothing", 404, "application/json"],
      ["a malformed address of the API", "/api/v1/%zz", 400, "application/json"],
      ["a malformed address outside the API", "/%zz", 400, "text/plain"],
      ["the API's description", "/api/v1/openapi.json", 200, "application/json"],
      ["a refused executor", "/.executors/test/auth", 401, "text/plain"],
      ["an unknown executor route", "/.executors/nothing", 401, "text/plain"],
      ["health", "/healthz", 200, "text/plain"],
      ["metrics", "/metrics", 200, "text/plain"],
      ["a job's output", "/api/v1/jobs/1/logs?entry=1", 200, "text/plain"],
      ["events", "/api/v1/jobs/1/events", 200, "text/event-stream"],
      ["an artifact", "/api/v1/jobs/1/artifacts/1", 200, "application/octet-stream"],
    ])("have security headers and the right content type: %s", async (_title, path, status, type) => {
      const leave = new AbortController();
      const credentials: Record<string, string> = path.startsWith("/api/")
        ? { authorization: `Bearer ${target.instance.administratorToken}` }
        : {};
      const response = await fetch(target.url + path, { signal: leave.signal, headers: credentials });
      expect([401, 404, status]).toContain(response.status);
      expect(response.headers.get("content-type")).toContain(type);
      expect(Object.fromEntries(response.headers)).toMatchObject(securityHeaders);
      leave.abort();
    });

    it("never present an HTML page written by a job as a web page", async () => {
      const log = await target.rest("GET", `/jobs/${job.id}/logs?entry=1`, undefined, { accept: "text/html" });
      expect([await log.text(), log.headers.get("content-type")]).toEqual([html, "text/plain; charset=utf-8"]);
      const { artifacts } = (await (await target.rest("GET", `/jobs/${job.id}/artifacts`)).json()) as {
        artifacts: { id: number }[];
      };
      const download = await target.rest("GET", `/jobs/${job.id}/artifacts/${artifacts[0]?.id}`);
      expect(await download.text()).toBe(html);
      expect(Object.fromEntries(download.headers)).toMatchObject({
        "content-type": "application/octet-stream",
        "content-disposition": `attachment; filename="job-${job.id}-attempt-1-page.html"`,
      });
    });

    it.each([
      "a\r\nset-cookie: x=1",
      'a"; filename="b',
      "../../a",
      "a/b",
      "a\\b",
      "a\0b",
      "ä",
      "",
      ".",
      "a".repeat(300),
    ])("never contain the artifact name %j, because the upload is refused", async (name) => {
      expect((await putArtifact(name)).status).toBe(400);
    });

    it("set HSTS and a secure cookie if the external URL uses https", async () => {
      const database = await createDatabase(engines().postgres?.url ?? "");
      await using secure = await startTestInstance(database, { externalUrl: "https://airlock.example" });
      const health = await fetch(`${secure.url}/healthz`);
      expect(health.headers.get("strict-transport-security")).toMatch(/^max-age=\d+$/);
      const session = await fetch(`${secure.url}/api/v1/session`, {
        method: "POST",
        headers: { "content-type": "application/json", origin: "https://airlock.example" },
        body: JSON.stringify({ token: secure.instance.administratorToken }),
      });
      expect(session.headers.get("set-cookie")).toMatch(/; HttpOnly; Secure; SameSite=Strict$/);
      expect((await fetch(`${target.url}/healthz`)).headers.get("strict-transport-security")).toBe(null);
    });
  });

  describe("a filter", () => {
    it.each(["%", "_", "defaul_", "%25", "' or 1=1 --", "default'", "\\", "*", ".*"])(
      "takes %j literally, not as a pattern",
      async (text) => {
        for (const field of ["queue", "repository", "namespace"]) {
          const response = await target.rest("GET", `/jobs?${field}=${encodeURIComponent(text)}`);
          expect([200, 400]).toContain(response.status);
          if (response.status === 200) expect(await response.json()).toMatchObject({ jobs: [] });
        }
      },
    );

    it("is answered quickly, whatever its length and characters", async () => {
      const texts = ["a".repeat(12_000), "a-".repeat(6000), "a/".repeat(6000), "a.".repeat(6000), "/".repeat(12_000)];
      const startedAt = performance.now();
      for (const text of texts) {
        for (const field of ["queue", "repository", "namespace", "state", "before", "limit"]) {
          expect((await target.rest("GET", `/jobs?${field}=${text}`)).status).toBeLessThan(500);
        }
        for (const body of [{ repository: text }, { queue: text }, { outputs: [text] }, { timeout: text }]) {
          const spec = { steps: [{ image: "alpine", run: "true" }], ...body };
          const { status } = await target.rest("POST", "/jobs", spec);
          expect(status).toBeGreaterThanOrEqual(400);
          expect(status).toBeLessThan(500);
        }
        for (const image of [text, `${text}@sha256:x`, `${text}:${text}`]) {
          expect((await target.rest("POST", "/jobs", { steps: [{ image, run: "true" }] })).status).toBe(400);
        }
        const url = `https://host.example/${text}`;
        expect((await target.rest("POST", "/repositories", { name: text, url })).status).toBe(400);
      }
      expect(performance.now() - startedAt).toBeLessThan(10_000);
    });
  });

  it("request headers larger than 16 KiB are refused by both APIs", async () => {
    for (const path of ["/api/v1/jobs", "/.executors/queue/default/dequeue"]) {
      const one = await sendRaw(target.url, { method: "GET", path, headers: { "x-a": "a".repeat(17_000) } });
      const many = Object.fromEntries(Array.from({ length: 1500 }, (_, index) => [`x-${index}`, "1234567890"]));
      const lots = await sendRaw(target.url, { method: "GET", path, headers: many });
      expect([one.status, lots.status]).toEqual([431, 431]);
    }
  });
});
