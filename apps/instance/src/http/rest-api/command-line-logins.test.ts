import {
  ApiError,
  BegunCommandLineLogin,
  CommandLineLoginView,
  ConfirmedCommandLineLogin,
  FinishedCommandLineLogin,
} from "@airlock/api";
import { createDatabase, describeWithEngines, engines } from "@airlock/test-kit";
import { afterAll, beforeAll, expect, it } from "vitest";
import { requestAsPage } from "../../testing/audit-requests.ts";
import { cookieOf, signedInUser, testPassword } from "../../testing/sign-in.ts";
import { tablesWithText } from "../../testing/tables-with-text.ts";
import { startTestInstance, type TestInstance } from "../../testing/test-instance.ts";

describeWithEngines(["postgres"], "logins of command lines", () => {
  let target: TestInstance;
  let cookie: string;
  beforeAll(async () => {
    target = await startTestInstance(await createDatabase(engines().postgres?.url ?? ""), {
      trustedProxies: ["127.0.0.1"],
    });
    cookie = await signedInUser(target, "ann");
  });
  afterAll(async () => {
    await target?.[Symbol.asyncDispose]();
  });

  const scopes = ["read"] as const;
  const from = (address: string) => ({ "x-forwarded-for": address });
  const post = (path: string, body: object, headers: Record<string, string> = {}) =>
    fetch(`${target.url}/api/v1/command-line-logins${path}`, {
      method: "POST",
      headers: { "content-type": "application/json", ...headers },
      body: JSON.stringify(body),
    });
  const begin = async () => BegunCommandLineLogin.parse(await (await post("", { host: "laptop" })).json());
  const page = (method: string, code: string, body?: object, as = cookie) =>
    requestAsPage(target, { method, path: `/account/command-line-logins/${code}`, cookie: as, body });
  const confirm = async (code: string, as = cookie) =>
    ConfirmedCommandLineLogin.parse(
      await (await page("POST", code, { name: "laptop", scopes, expiresAt: null }, as)).json(),
    ).confirmationCode;
  const finish = (secret: string, confirmationCode: string) => post("/token", { secret, confirmationCode });
  const codeOf = async (response: Response) => ApiError.parse(await response.json()).error.code;
  const signIn = async (name: string) =>
    cookieOf(
      await requestAsPage(target, {
        method: "POST",
        path: "/sign-in",
        cookie: "",
        body: { name, password: testPassword },
      }),
    );

  it("give a token once, after a person confirmed, to the one who has both halves", async () => {
    const { secret, code } = await begin();
    expect(CommandLineLoginView.parse(await (await page("GET", code)).json())).toMatchObject({
      code,
      host: "laptop",
      address: "127.0.0.1",
    });
    expect(await codeOf(await finish(secret, "BCDF-GHJK"))).toBe("wrong-confirmation-code");
    const confirmation = await confirm(code.toLowerCase());
    const other = await begin();
    expect(await codeOf(await finish(other.secret, confirmation))).toBe("wrong-confirmation-code");
    expect(await tablesWithText(target.instance.databaseUrl, [secret, confirmation.replace("-", "")])).toEqual([]);
    // Only one of several at the same time gets it.
    const answers = await Promise.all([1, 2, 3].map(() => finish(secret, confirmation.toLowerCase())));
    expect(answers.filter(({ status }) => status === 201)).toHaveLength(1);
    const created = answers.find(({ status }) => status === 201) ?? new Response("");
    const { token, ...rest } = FinishedCommandLineLogin.parse(await created.json());
    expect(rest).toMatchObject({ name: "laptop", scopes: ["read"] });
    const session = await fetch(`${target.url}/api/v1/session`, { headers: { authorization: `Bearer ${token}` } });
    expect(await session.json()).toMatchObject({ user: { name: "ann" } });
    expect(await codeOf(await page("GET", code))).toBe("login-ended");
  });

  it("can't be confirmed twice, by an access token, or by the administrator's token", async () => {
    const { secret, code } = await begin();
    const body = { name: "laptop", scopes, expiresAt: null };
    const asToken = await target.rest("POST", `/account/command-line-logins/${code}`, body);
    expect(await codeOf(asToken)).toBe("no-account");
    const created = await requestAsPage(target, {
      method: "POST",
      path: "/account/tokens",
      cookie,
      body: { name: "all", scopes: ["read", "administration"], expiresAt: null },
    });
    const { token } = (await created.json()) as { token: string };
    const headers = { authorization: `Bearer ${token}` };
    const refused = await target.rest("POST", `/account/command-line-logins/${code}`, body, headers);
    expect(await codeOf(refused)).toBe("missing-scope");
    const confirmation = await confirm(code);
    const ben = await signedInUser(target, "ben");
    expect(await codeOf(await page("POST", code, body, ben))).toBe("login-ended");
    expect(await codeOf(await page("DELETE", code, undefined, ben))).toBe("login-ended");
    expect((await finish(secret, confirmation)).status).toBe(201);
  });

  it("end with the fifth wrong code, also for the right one", async () => {
    const { secret, code } = await begin();
    const confirmation = await confirm(code);
    const answers: string[] = [];
    for (let guess = 0; guess < 5; guess += 1) answers.push(await codeOf(await finish(secret, "BCDF-GHJK")));
    expect(answers).toEqual([...Array<string>(4).fill("wrong-confirmation-code"), "login-ended"]);
    expect(await codeOf(await finish(secret, confirmation))).toBe("login-ended");
  });

  it("end when they are refused, and with the session or the user that confirmed them", async () => {
    const refused = await begin();
    expect((await page("DELETE", refused.code)).status).toBe(204);
    expect(await codeOf(await finish(refused.secret, "BCDF-GHJK"))).toBe("login-ended");

    const ended = await begin();
    const session = await signIn("ann");
    const code = await confirm(ended.code, session);
    await requestAsPage(target, { method: "DELETE", path: "/session", cookie: session });
    expect(await codeOf(await finish(ended.secret, code))).toBe("login-ended");

    const carl = await signedInUser(target, "carl");
    const disabled = await begin();
    const confirmation = await confirm(disabled.code, carl);
    await target.rest("PATCH", "/users/carl", { disabled: true });
    expect((await finish(disabled.secret, confirmation)).status).toBeGreaterThanOrEqual(400);
  });

  it("are limited for each network, which leaves others alone", async () => {
    const statuses: number[] = [];
    for (let count = 0; count < 21; count += 1) {
      statuses.push((await post("", { host: "x" }, from("2001:db8::1"))).status);
    }
    expect(statuses).toEqual([...Array<number>(20).fill(201), 429]);
    expect((await post("", { host: "x" }, from("2001:db8:0:0:ffff::2"))).status).toBe(429);
    expect((await post("", { host: "x" }, from("2001:db8:1::1"))).status).toBe(201);
  });

  it("can't be begun or finished by a page of another site", async () => {
    for (const headers of [{ origin: "https://evil.example" }, { "sec-fetch-site": "cross-site" }]) {
      expect((await post("", { host: "x" }, headers)).status).toBe(403);
      const body = { secret: "x", confirmationCode: "BCDF-GHJK" };
      expect((await post("/token", body, headers)).status).toBe(403);
    }
  });

  it("refuse names of machines that could mislead the person who confirms", async () => {
    const answer = await post("", { host: "laptop\u202e\nadmin" }, from("203.0.113.9"));
    expect(answer.status).toBe(400);
    expect(ApiError.parse(await answer.json()).error.issues?.[0]).toMatch(/^host: /);
  });
});
