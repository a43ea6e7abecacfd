import { hostname } from "node:os";
import { createDatabase, describeWithEngines, engines } from "@airlock/test-kit";
import { afterAll, beforeAll, expect, it } from "vitest";
import { sendRaw } from "../testing/send-raw.ts";
import { startTestInstance, type TestInstance } from "../testing/test-instance.ts";

describeWithEngines(["postgres"], "a page whose host name was made to resolve to the instance (DNS rebinding)", () => {
  let target: TestInstance;
  let cookie: string;
  beforeAll(async () => {
    target = await startTestInstance(await createDatabase(engines().postgres?.url ?? ""), {
      externalUrl: "https://airlock.example.com:8443/",
      allowedHosts: ["other.example.org", "*.team.example.org"],
    });
    const session = await target.rest("POST", "/session", { token: target.instance.administratorToken });
    cookie = (session.headers.get("set-cookie") ?? "").split(";")[0] ?? "";
  });
  afterAll(() => target[Symbol.asyncDispose]());

  const get = (path: string, host: string, headers: Record<string, string> = {}) =>
    sendRaw(target.url, { method: "GET", path, headers: { host, ...headers } });
  const paths = [
    "/",
    "/jobs/1",
    "/metrics",
    "/api/v1/openapi.json",
    "/api/v1/session",
    "/api/v1/jobs",
    "/.api/x",
    "/none",
  ];

  it.each([
    "evil.example",
    "evil.example:7080",
    "airlock.example.com.evil.example",
    "evil-airlock.example.com",
    "example.org",
    "team.example.org",
    "127.0.0.1.evil.example",
    "localhost.evil.example",
    "xlocalhost.example",
    "evil.example@127.0.0.1",
    "evil.example/127.0.0.1",
    "evil.example#localhost",
    "evil.example\\localhost",
    "[::1",
    "",
  ])("can't read anything or log in with the host %j", async (host) => {
    for (const path of paths) {
      const answer = await get(path, host, { cookie });
      expect([path, answer.status]).toEqual([path, 421]);
      expect(JSON.parse(answer.text)).toMatchObject({
        error: { code: "unknown-host", hint: expect.stringContaining("AIRLOCK_ALLOWED_HOSTS") },
      });
    }
    const login = await sendRaw(target.url, {
      method: "POST",
      path: "/api/v1/session",
      headers: { host, "content-type": "application/json" },
      body: Buffer.from(JSON.stringify({ token: target.instance.administratorToken })),
    });
    expect([login.status, login.headers.has("set-cookie")]).toEqual([421, false]);
  });

  it("can't read anything with a made-up token", async () => {
    for (const authorization of ["Bearer x", "Basic eDp4", "token x", "x"]) {
      for (const path of paths) {
        const answer = await get(path, "evil.example", { authorization });
        const checked = path === "/api/v1/jobs" || path === "/api/v1/session";
        expect([path, authorization, answer.status]).toEqual([path, authorization, checked ? 401 : 421]);
      }
    }
  });

  it.each([
    "airlock.example.com:8443",
    "airlock.example.com",
    "AIRLOCK.example.com.",
    "other.example.org",
    "a.team.example.org",
    "a.b.team.example.org:80",
    "localhost:7080",
    "airlock.localhost",
    "127.0.0.1",
    "[::1]:7080",
    "10.1.2.3:7080",
    "airlock",
    hostname(),
  ])("is not confused with a page under the instance's own name or a name that no site can have: %s", async (host) => {
    expect((await get("/api/v1/jobs", host, { cookie })).status).toBe(200);
    expect((await get("/metrics", host)).status).toBe(200);
    expect((await get("/", host)).status).toBe(200);
  });

  it("does not affect probes, executors and programs that reach the instance by another name", async () => {
    const host = "airlock.prod.svc.cluster.local";
    const { administratorToken, executorToken } = target.instance;
    expect((await get("/healthz", host)).status).toBe(200);
    expect((await get("/.api/src-cli/version", host)).status).toBe(200);
    expect((await get("/api/v1/jobs", host, { authorization: `Bearer ${administratorToken}` })).status).toBe(200);
    const beat = await sendRaw(target.url, {
      method: "POST",
      path: "/.executors/queue/default/heartbeat",
      headers: { host, authorization: `token-executor ${executorToken}`, "content-type": "application/json" },
      body: Buffer.from(JSON.stringify({ executorName: "e", jobIds: [] })),
    });
    expect(beat.status).toBe(200);
    expect((await get("/api/v1/jobs", host, { authorization: "Bearer wrong" })).status).toBe(401);
  });
});
