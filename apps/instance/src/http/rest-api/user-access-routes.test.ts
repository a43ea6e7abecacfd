import { AccessTokenList, SessionEntryList } from "@airlock/api";
import { createDatabase, describeWithEngines, engines } from "@airlock/test-kit";
import { afterAll, beforeAll, expect, it } from "vitest";
import { signedInUser } from "../../testing/sign-in.ts";
import { startTestInstance, type TestInstance } from "../../testing/test-instance.ts";

describeWithEngines(["postgres"], "an administrator", () => {
  let target: TestInstance;
  let ann: string;
  let ben: string;

  beforeAll(async () => {
    target = await startTestInstance(await createDatabase(engines().postgres?.url ?? ""));
    ann = await signedInUser(target, "ann", "administrator");
    ben = await signedInUser(target, "ben");
  });
  afterAll(async () => {
    await target?.[Symbol.asyncDispose]();
  });

  const as = (cookie: string, method: string, path: string, body?: object) =>
    fetch(`${target.url}/api/v1${path}`, {
      method,
      headers: {
        cookie,
        "sec-fetch-site": "same-origin",
        "user-agent": "a browser",
        ...(body && { "content-type": "application/json" }),
      },
      ...(body && { body: JSON.stringify(body) }),
    });
  const sessions = async (cookie: string, name: string) =>
    SessionEntryList.parse(await (await as(cookie, "GET", `/users/${name}/sessions`)).json()).sessions;

  it("sees the sessions of a user and ends one", async () => {
    const [session] = await sessions(ann, "ben");
    expect(session).toMatchObject({ current: false });
    expect((await sessions(ann, "ann")).map(({ current }) => current)).toEqual([true]);
    // The session of another user has the number, but not the name.
    expect((await as(ann, "DELETE", `/users/ann/sessions/${session?.id}`)).status).toBe(404);
    expect((await as(ben, "GET", "/session")).status).toBe(200);
    expect((await as(ann, "DELETE", `/users/ben/sessions/${session?.id}`)).status).toBe(204);
    expect((await as(ben, "GET", "/session")).status).toBe(401);
    expect((await as(ann, "DELETE", `/users/ben/sessions/${session?.id}`)).status).toBe(404);
  });

  it("sees the access tokens of a user, never the tokens themselves, and deletes one", async () => {
    const cora = await signedInUser(target, "cora");
    const body = { name: "for scripts", scopes: ["read"], expiresAt: null };
    const created = (await (await as(cora, "POST", "/account/tokens", body)).json()) as { id: number; token: string };
    const answer = await (await as(ann, "GET", "/users/cora/tokens")).text();
    expect(AccessTokenList.parse(JSON.parse(answer)).tokens).toMatchObject([{ id: created.id, name: "for scripts" }]);
    expect(answer).not.toContain(created.token);
    const bearer = { authorization: `Bearer ${created.token}` };
    expect((await target.rest("GET", "/session", undefined, bearer)).status).toBe(200);
    expect((await as(ann, "DELETE", `/users/ann/tokens/${created.id}`)).status).toBe(404);
    expect((await as(ann, "DELETE", `/users/cora/tokens/${created.id}`)).status).toBe(204);
    expect((await target.rest("GET", "/session", undefined, bearer)).status).toBe(401);
  });

  it("alone sees sessions and tokens of others, and not with an access token", async () => {
    const dora = await signedInUser(target, "dora");
    const body = { name: "everything", scopes: ["read", "administration"], expiresAt: null };
    const { token } = (await (await as(ann, "POST", "/account/tokens", body)).json()) as { token: string };
    const [session] = await sessions(ann, "dora");
    for (const [method, path] of [
      ["GET", "/users/dora/sessions"],
      ["DELETE", `/users/dora/sessions/${session?.id}`],
      ["GET", "/users/dora/tokens"],
      ["DELETE", "/users/dora/tokens/1"],
    ] as const) {
      expect((await as(dora, method, path)).status, path).toBe(403);
      expect((await target.rest(method, path, undefined, { authorization: `Bearer ${token}` })).status, path).toBe(403);
    }
    expect(await sessions(ann, "dora")).toHaveLength(1);
  });

  it("gets an answer that names the user for an unknown one", async () => {
    for (const path of ["/users/ghost/sessions", "/users/ghost/tokens"]) {
      expect(await (await as(ann, "GET", path)).json()).toMatchObject({
        error: { code: "not-found", message: 'no user named "ghost"' },
      });
    }
  });
});
