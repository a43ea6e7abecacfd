import { AccessTokenList, ApiError, CreatedAccessToken, type TokenScope } from "@airlock/api";
import { createDatabase, describeWithEngines, engines } from "@airlock/test-kit";
import pg from "pg";
import { afterAll, beforeAll, expect, it } from "vitest";
import { isAccessToken } from "../../accounts/access-tokens.ts";
import { signedInUser } from "../../testing/sign-in.ts";
import { tablesWithText } from "../../testing/tables-with-text.ts";
import { startTestInstance, type TestInstance } from "../../testing/test-instance.ts";

describeWithEngines(["postgres"], "access tokens", () => {
  let target: TestInstance;
  let cookie: string;
  let job: number;
  beforeAll(async () => {
    target = await startTestInstance(await createDatabase(engines().postgres?.url ?? ""));
    cookie = await signedInUser(target, "ann");
    job = await target.submit({ namespace: "ann" });
  });
  afterAll(async () => {
    await target?.[Symbol.asyncDispose]();
  });

  const page = (method: string, path: string, body?: object, from = cookie) =>
    fetch(`${target.url}/api/v1${path}`, {
      method,
      headers: {
        cookie: from,
        "sec-fetch-site": "same-origin",
        ...(body === undefined ? {} : { "content-type": "application/json" }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
  const create = async (scopes: readonly TokenScope[], from = cookie) =>
    CreatedAccessToken.parse(
      await (await page("POST", "/account/tokens", { name: "ci", scopes, expiresAt: null }, from)).json(),
    );
  const call = (token: string, method: string, path: string, body?: object, scheme = "Bearer") =>
    fetch(`${target.url}/api/v1${path}`, {
      method,
      headers: {
        authorization: `${scheme} ${token}`,
        ...(body === undefined ? {} : { "content-type": "application/json" }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
  const newJob = { namespace: "ann", steps: [{ image: "alpine", run: "true" }] };

  it("are shown once, and only their hash is stored", async () => {
    const { token, ...rest } = await create(["read"]);
    expect(token).toMatch(/^airlock_pat_[0-9a-f]{48}$/);
    expect(isAccessToken(token)).toBe(true);
    expect(isAccessToken(token.replace(/.$/, (last) => (last === "0" ? "1" : "0")))).toBe(false);
    expect(await tablesWithText(target.instance.databaseUrl, [token])).toEqual([]);
    const list = AccessTokenList.parse(await (await page("GET", "/account/tokens")).json());
    expect(list.tokens[0]).toEqual({ ...rest, lastUsedAt: null, lastAddress: null });
    expect(JSON.stringify(list)).not.toContain("airlock_pat_");
  });

  it("are accepted with the schemes `Bearer` and `token`, and their last use is kept", async () => {
    const { token, id } = await create(["read"]);
    for (const scheme of ["Bearer", "token", "TOKEN"]) {
      expect((await call(token, "GET", `/jobs/${job}`, undefined, scheme)).status).toBe(200);
    }
    expect((await call(token, "GET", `/jobs/${job}`, undefined, "Basic")).status).toBe(401);
    const { tokens } = AccessTokenList.parse(await (await page("GET", "/account/tokens")).json());
    const used = tokens.find((one) => one.id === id);
    expect([typeof used?.lastUsedAt, used?.lastAddress]).toEqual(["string", "127.0.0.1"]);
  });

  it("permit what their scopes name, and never more than their owner may do", async () => {
    const [read, jobs, admin] = [await create(["read"]), await create(["jobs"]), await create(["administration"])];
    expect((await call(jobs.token, "POST", "/jobs", newJob)).status).toBe(201);
    const refused = await call(read.token, "POST", "/jobs", newJob);
    const { error } = ApiError.parse(await refused.json());
    expect([refused.status, error.code, error.hint]).toEqual([403, "missing-scope", expect.stringContaining("scope")]);
    expect((await call(jobs.token, "GET", `/jobs/${job}`)).status).toBe(403);
    // The owner is not an administrator.
    expect((await call(admin.token, "GET", "/users")).status).toBe(403);
    expect((await call(jobs.token, "POST", "/jobs", { ...newJob, namespace: "default" })).status).toBe(422);
  });

  it("of an administrator open the administration only with that scope", async () => {
    const chief = await signedInUser(target, "chief", "administrator");
    const [read, admin] = [await create(["read"], chief), await create(["read", "administration"], chief)];
    expect((await call(read.token, "GET", "/users")).status).toBe(200);
    expect((await call(read.token, "POST", "/users", { name: "new-one" })).status).toBe(403);
    expect((await call(admin.token, "POST", "/users", { name: "new-one" })).status).toBe(201);
    // A password link would let a token become its owner, or anybody.
    expect((await call(admin.token, "POST", "/users/chief/password-link")).status).toBe(403);
  });

  it("can't reach the account: no tokens, sessions or passwords", async () => {
    const { token } = await create(["read", "jobs", "secrets", "repositories", "administration"]);
    for (const [method, path] of [
      ["GET", "/account/tokens"],
      ["POST", "/account/tokens"],
      ["DELETE", "/account/tokens/1"],
      ["GET", "/account/sessions"],
      ["DELETE", "/account/sessions"],
      ["PUT", "/account/password"],
      ["POST", "/setup"],
    ] as const) {
      expect((await call(token, method, path)).status, `${method} ${path}`).toBe(403);
    }
  });

  it("end when they are deleted, when they expire, and when their owner is disabled", async () => {
    const [deleted, expired, kept] = [await create(["read"]), await create(["read"]), await create(["read"])];
    expect((await page("DELETE", `/account/tokens/${deleted.id}`)).status).toBe(204);
    const client = new pg.Client({ connectionString: target.instance.databaseUrl });
    await client.connect();
    await client.query("update access_tokens set expires_at = now() where id = $1", [expired.id]);
    await client.end();
    const statusOf = async ({ token }: { token: string }) => (await call(token, "GET", `/jobs/${job}`)).status;
    expect([await statusOf(deleted), await statusOf(expired), await statusOf(kept)]).toEqual([401, 401, 200]);
    const other = await signedInUser(target, "thief");
    expect((await page("DELETE", `/account/tokens/${kept.id}`, undefined, other)).status).toBe(404);
    const past = await page("POST", "/account/tokens", {
      name: "x",
      scopes: ["read"],
      expiresAt: "2020-01-01T00:00:00Z",
    });
    expect(past.status).toBe(400);
    const mine = await create(["read"], other);
    await target.rest("PATCH", "/users/thief", { disabled: true });
    expect(await statusOf(mine)).toBe(401);
  });

  it("are refused in an address, wherever it is sent", async () => {
    const { token } = await create(["read"]);
    for (const path of [`/api/v1/jobs?access_token=${token}`, `/${token}`, `/.executors/test/auth?x=${token}`]) {
      const response = await fetch(target.url + path);
      expect(response.status, path).toBe(400);
      expect(await response.text()).toContain("Authorization");
    }
  });
});
