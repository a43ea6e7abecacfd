import { ApiError, SessionEntryList, SessionView, SignInMethods } from "@airlock/api";
import { createDatabase, describeWithEngines, engines } from "@airlock/test-kit";
import pg from "pg";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { cookieOf, signedInUser, testPassword } from "../../testing/sign-in.ts";
import { tablesWithText } from "../../testing/tables-with-text.ts";
import { startTestInstance, type TestInstance } from "../../testing/test-instance.ts";

describeWithEngines(["postgres"], "signing in", () => {
  let target: TestInstance;
  let client: pg.Client;
  beforeAll(async () => {
    target = await startTestInstance(await createDatabase(engines().postgres?.url ?? ""), {
      trustedProxies: ["127.0.0.1"],
    });
    client = new pg.Client({ connectionString: target.instance.databaseUrl });
    await client.connect();
  });
  beforeEach(async () => {
    await client.query("delete from sign_in_attempts");
  });
  afterAll(async () => {
    await client?.end();
    await target?.[Symbol.asyncDispose]();
  });

  /** Sends a request as a page of the instance does. */
  async function page(
    method: string,
    path: string,
    { cookie, body, headers = {} }: { cookie?: string; body?: object; headers?: Record<string, string> } = {},
  ): Promise<Response> {
    return fetch(`${target.url}/api/v1${path}`, {
      method,
      headers: {
        "sec-fetch-site": "same-origin",
        ...(cookie === undefined ? {} : { cookie }),
        ...(body === undefined ? {} : { "content-type": "application/json" }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
  }
  const signIn = (name: string, password: string, headers: Record<string, string> = {}, cookie = "") =>
    page("POST", "/sign-in", { body: { name, password }, headers, cookie });
  async function refused(work: Promise<Response>, status: number, code: string): Promise<ApiError["error"]> {
    const response = await work;
    const { error } = ApiError.parse(await response.json());
    expect([response.status, error.code], error.message).toEqual([status, code]);
    return error;
  }
  async function whoIs(cookie: string): Promise<string | number> {
    const response = await page("GET", "/session", { cookie });
    if (response.status !== 200) return response.status;
    return SessionView.parse(await response.json()).user?.name ?? "token";
  }

  const methods = async () => SignInMethods.parse(await (await fetch(`${target.url}/api/v1/sign-in`)).json());

  describe("the first administrator", () => {
    it("is created once, with the administrator's token, and signed in at once", async () => {
      const body = { name: "chief", password: testPassword };
      expect(await methods()).toEqual({ password: true, openIdConnect: null, needsSetUp: true });
      await refused(page("POST", "/setup", { body }), 401, "unauthorized");
      const started = await page("POST", "/session", { body: { token: target.instance.administratorToken } });
      expect(SessionView.parse(await started.json())).toMatchObject({ user: null, needsSetUp: true });
      const cookie = cookieOf(started);
      const weak = await refused(
        page("POST", "/setup", { cookie, body: { ...body, password: "Password12345" } }),
        422,
        "password-refused",
      );
      expect(weak.issues?.[0]).toMatch(/^password: is one of the most common/);
      const answers = await Promise.all(
        ["chief", "rival"].map((name) => page("POST", "/setup", { cookie, body: { ...body, name } })),
      );
      expect(answers.map(({ status }) => status).sort()).toEqual([201, 409]);
      const winner = answers.find(({ status }) => status === 201);
      const signedIn = winner ? cookieOf(winner) : "";
      const view = SessionView.parse(await (await page("GET", "/session", { cookie: signedIn })).json());
      expect(view).toMatchObject({ role: "administrator", needsSetUp: false });
      // The session of the token ended, so that a copy of its cookie opens nothing.
      expect(await whoIs(cookie)).toBe(401);
      await refused(target.rest("POST", "/setup", { ...body, name: "late" }), 409, "already-set-up");
      expect(await methods()).toMatchObject({ needsSetUp: false });
    });
  });

  it("gives each sign-in a new session, and ends the one that the browser had", async () => {
    const before = await signedInUser(target, "fixed");
    const answer = await signIn("Fixed ", testPassword, {}, before);
    expect(answer.status).toBe(200);
    const after = cookieOf(answer);
    expect(after).not.toBe(before);
    expect(await whoIs(before)).toBe(401);
    expect(await whoIs(after)).toBe("fixed");
    const attributes = answer.headers.getSetCookie().find((cookie) => cookie.startsWith("airlock_session"));
    expect(attributes).toMatch(/; Path=\/; HttpOnly; SameSite=Strict$/);
    // A cookie that somebody planted doesn't become a session.
    const planted = `airlock_session=u.${"A".repeat(43)}`;
    const other = await signIn("fixed", testPassword, {}, planted);
    expect(await whoIs(planted)).toBe(401);
    expect(cookieOf(other)).not.toBe(planted);
  });

  it("is refused for requests from other sites", async () => {
    await refused(
      page("POST", "/sign-in", {
        body: { name: "fixed", password: testPassword },
        headers: { "sec-fetch-site": "cross-site" },
      }),
      403,
      "forbidden",
    );
  });

  it("gives the same answer for a wrong name, a wrong password, and users without password or disabled", async () => {
    await signedInUser(target, "real");
    await target.rest("POST", "/users", { name: "no-password" });
    await signedInUser(target, "gone");
    await target.rest("PATCH", "/users/gone", { disabled: true });
    const answers = await Promise.all(
      [
        ["real", "wrong"],
        ["unreal", testPassword],
        ["no-password", testPassword],
        ["gone", testPassword],
        ["", ""],
        ["real'; drop table users", "\u0000"],
        ["real", testPassword.toUpperCase()],
      ].map(async ([name = "", password = ""]) => {
        const response = await signIn(name, password);
        return [response.status, await response.text()];
      }),
    );
    expect(new Set(answers.map((answer) => JSON.stringify(answer))).size).toBe(1);
    expect(answers[0]?.[0]).toBe(401);
  });

  it("leaves no password, session or link in the database or in an answer", async () => {
    const cookie = await signedInUser(target, "private");
    const link = (await (await target.rest("POST", "/users/private/password-link")).json()) as { token: string };
    const token = cookie.replace("airlock_session=", "");
    expect(await tablesWithText(target.instance.databaseUrl, [testPassword, token, link.token])).toEqual([]);
    await refused(signIn("typed my password: hunter2 hunter2", "x"), 401, "sign-in-failed");
    expect(await tablesWithText(target.instance.databaseUrl, ["hunter2"])).toEqual([]);
    for (const path of ["/users/private", "/users", "/account/sessions", "/session"]) {
      const text = await (await page("GET", path, { cookie })).text();
      expect(text).not.toMatch(/argon2|token_sha256/);
      expect(text).not.toContain(token);
    }
  });

  describe("limits", () => {
    const from = (address: string) => ({ "x-forwarded-for": address });

    it("stop an address that guesses, and let the same person in from elsewhere", async () => {
      await signedInUser(target, "victim");
      for (let round = 0; round < 10; round += 1) {
        await refused(signIn("victim", `guess ${round}`, from("198.51.100.1")), 401, "sign-in-failed");
      }
      const { hint } = await refused(signIn("victim", testPassword, from("198.51.100.1")), 429, "too-many-attempts");
      expect(hint).toContain("15 minutes");
      expect((await signIn("victim", testPassword, from("198.51.100.2"))).status).toBe(200);
    });

    it("hold for guesses at the same time", async () => {
      await signedInUser(target, "parallel");
      const answers = await Promise.all(
        Array.from({ length: 30 }, (_, round) => signIn("parallel", `guess ${round}`, from("198.51.100.3"))),
      );
      expect(answers.filter(({ status }) => status === 401).length).toBeLessThanOrEqual(10);
      expect(answers.filter(({ status }) => status === 429).length).toBeGreaterThanOrEqual(20);
    });

    it("count for an IPv6 network, and for one address over many names", async () => {
      for (let round = 0; round < 40; round += 1) {
        await refused(signIn(`name-${round}`, "guess", from(`2001:db8:1:1::${round}`)), 401, "sign-in-failed");
      }
      await refused(signIn("another", "guess", from("2001:db8:1:1:ffff::1")), 429, "too-many-attempts");
      await refused(signIn("another", "guess", from("2001:db8:1:2::1")), 401, "sign-in-failed");
    });

    it("of an account that many addresses attack leave in a browser that signed in before", async () => {
      await signedInUser(target, "famous");
      const first = await signIn("famous", testPassword, from("203.0.113.1"));
      const browser = first.headers
        .getSetCookie()
        .map((cookie) => cookie.split(";")[0])
        .join("; ");
      // What a hundred wrong guesses from many addresses leave behind.
      for (let round = 0; round < 100; round += 10) {
        await Promise.all(
          Array.from({ length: 10 }, (_, index) =>
            signIn("famous", "guess", from(`192.0.2.${round + index}`)).then((response) => response.text()),
          ),
        );
      }
      await refused(signIn("famous", testPassword, from("203.0.113.2")), 429, "too-many-attempts");
      expect((await signIn("famous", testPassword, from("203.0.113.3"), browser)).status).toBe(200);
      // The browser's cookie is for this account, and it can't guess without limit either.
      await refused(signIn("victim", "guess", from("203.0.113.3"), browser), 401, "sign-in-failed");
      for (let round = 0; round < 10; round += 1) {
        await refused(signIn("famous", `guess ${round}`, from("203.0.113.4"), browser), 401, "sign-in-failed");
      }
      await refused(signIn("famous", testPassword, from("203.0.113.4"), browser), 429, "too-many-attempts");
    });

    it("don't count what succeeds", async () => {
      await signedInUser(target, "busy");
      for (let round = 0; round < 12; round += 1) {
        expect((await signIn("busy", testPassword, from("198.51.100.9"))).status).toBe(200);
      }
    });
  });

  describe("sessions", () => {
    it("are listed, and each can be ended", async () => {
      const first = await signedInUser(target, "nomad");
      const second = cookieOf(await signIn("nomad", testPassword, { "user-agent": "Phone/1.0" }));
      const list = async (cookie: string) =>
        SessionEntryList.parse(await (await page("GET", "/account/sessions", { cookie })).json()).sessions;
      const sessions = await list(first);
      expect(sessions.map(({ userAgent, current }) => [userAgent === "Phone/1.0", current])).toEqual([
        [true, false],
        [false, true],
      ]);
      const phone = sessions.find(({ current }) => !current)?.id ?? 0;
      const stranger = await signedInUser(target, "thief");
      await refused(page("DELETE", `/account/sessions/${phone}`, { cookie: stranger }), 404, "not-found");
      expect((await page("DELETE", `/account/sessions/${phone}`, { cookie: first })).status).toBe(204);
      expect(await whoIs(second)).toBe(401);
      const third = cookieOf(await signIn("nomad", testPassword));
      expect((await page("DELETE", "/account/sessions", { cookie: third })).status).toBe(204);
      expect([await whoIs(first), await whoIs(third)]).toEqual([401, "nomad"]);
      expect((await page("DELETE", "/session", { cookie: third })).status).toBe(204);
      expect(await whoIs(third)).toBe(401);
    });

    it("end when the user is disabled, with their streams, and stay ended", async () => {
      const cookie = await signedInUser(target, "fired");
      const stream = await fetch(`${target.url}/api/v1/events`, { headers: { cookie } });
      expect(stream.status).toBe(200);
      await target.rest("PATCH", "/users/fired", { disabled: true });
      expect(await whoIs(cookie)).toBe(401);
      // The stream checks its session every three seconds.
      await stream.text();
      await target.rest("PATCH", "/users/fired", { disabled: false });
      expect(await whoIs(cookie)).toBe(401);
    });

    it("see a change of roles at once", async () => {
      const cookie = await signedInUser(target, "climber");
      await target.rest("POST", "/organizations", { name: "mountain" });
      const id = await target.submit({ namespace: "mountain" });
      const status = async () => (await page("GET", `/jobs/${id}`, { cookie })).status;
      expect(await status()).toBe(404);
      await target.rest("PUT", "/organizations/mountain/members/climber", { role: "viewer" });
      expect(await status()).toBe(200);
      await target.rest("DELETE", "/organizations/mountain/members/climber");
      expect(await status()).toBe(404);
      await target.rest("PATCH", "/users/climber", { role: "administrator" });
      expect(await status()).toBe(200);
    });
  });

  describe("passwords", () => {
    it("are changed with the current one, which ends all other sessions", async () => {
      const cookie = await signedInUser(target, "changer");
      const other = cookieOf(await signIn("changer", testPassword));
      const change = (currentPassword: string, password: string) =>
        page("PUT", "/account/password", { cookie, body: { currentPassword, password } });
      await refused(change("wrong", "a wholly new password"), 401, "sign-in-failed");
      await refused(change(testPassword, "short"), 422, "password-refused");
      expect(await whoIs(other)).toBe("changer");
      const answer = await change(testPassword, "a wholly new password");
      expect(answer.status).toBe(200);
      expect([await whoIs(cookie), await whoIs(other), await whoIs(cookieOf(answer))]).toEqual([401, 401, "changer"]);
      await refused(signIn("changer", testPassword), 401, "sign-in-failed");
      expect((await signIn("changer", "a wholly new password")).status).toBe(200);
    });

    it("are set with a link that is valid once, and a newer link replaces an older one", async () => {
      await target.rest("POST", "/users", { name: "forgetful" });
      const link = async () => {
        const answer = await target.rest("POST", "/users/forgetful/password-link");
        return ((await answer.json()) as { token: string }).token;
      };
      const use = (token: string, password = testPassword) => page("POST", "/password", { body: { token, password } });
      const [older, newer] = [await link(), await link()];
      await refused(use(older), 422, "link-expired");
      await refused(use(newer, "forgetful person 12"), 422, "password-refused");
      const answers = await Promise.all([use(newer), use(newer)]);
      expect(answers.map(({ status }) => status).sort()).toEqual([200, 422]);
      const expired = await link();
      await client.query("update password_links set expires_at = now() - interval '1 second'");
      await refused(use(expired), 422, "link-expired");
      const ofDisabled = await link();
      await target.rest("PATCH", "/users/forgetful", { disabled: true });
      await refused(use(ofDisabled), 422, "link-expired");
      await refused(target.rest("POST", "/users/ghost/password-link"), 404, "not-found");
    });
  });
});
