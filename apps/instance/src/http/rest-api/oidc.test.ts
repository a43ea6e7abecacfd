import { AuditPage, IdentityList, OrganizationList, SessionView, SignInLocation, SignInMethods } from "@airlock/api";
import {
  createDatabase,
  describeWithEngines,
  engines,
  startOidcProvider,
  TestBrowser,
  type TestOidcProvider,
} from "@airlock/test-kit";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { OidcSettings } from "../../oidc/oidc-settings.ts";
import { cookieOf, signedInUser, testPassword } from "../../testing/sign-in.ts";
import { startTestInstance, type TestInstance } from "../../testing/test-instance.ts";

/** The address of the instance for people. Browsers of the tests find it elsewhere. */
const site = "http://airlock.example";
const clientId = "airlock";
const clientSecret = "the client's secret";
const redirectUri = `${site}/api/v1/sign-in/oidc/callback`;

describeWithEngines(["postgres"], "signing in with OpenID Connect", () => {
  const stack = new AsyncDisposableStack();
  let provider: TestOidcProvider;
  let target: TestInstance;
  /** On the same database, with other settings. */
  let strict: TestInstance;
  let settings: OidcSettings;

  beforeAll(async () => {
    provider = stack.use(await startOidcProvider({ redirectUri, clientId, clientSecret }));
    const database = await createDatabase(engines().postgres?.url ?? "");
    settings = {
      issuer: provider.issuer,
      clientId,
      clientSecret,
      redirectUri,
      label: "Example & Co.",
      scopes: "openid profile groups",
      nameClaim: "preferred_username",
      groupsClaim: "groups",
      groups: new Map([
        ["engineers", [{ organization: "acme", role: "member" as const }]],
        [
          "leads",
          [
            { organization: "acme", role: "owner" as const },
            { organization: "tools", role: "viewer" as const },
          ],
        ],
        ["ops, night", ["administrator" as const]],
      ]),
      createUsers: true,
      sessionMs: 3_600_000,
    };
    target = stack.use(await startTestInstance(database, { externalUrl: site, openIdConnect: settings }));
    strict = stack.use(
      await startTestInstance(
        { url: database.url },
        {
          externalUrl: site,
          localAccounts: false,
          openIdConnect: { ...settings, groups: new Map(), createUsers: false },
        },
      ),
    );
  });
  beforeEach(() => {
    provider.tamper = {};
    provider.codeSeconds = 60;
  });
  afterAll(() => stack.disposeAsync());

  const browser = (login: string | null, instance: TestInstance = target) =>
    new TestBrowser({ [site]: instance.url }, login);
  const start = `${site}/api/v1/sign-in/oidc`;
  const isCallback = (url: URL) => url.pathname.endsWith("/callback");
  const isPage = (url: URL) => url.origin === site && !url.pathname.startsWith("/api/");

  async function signIn(person: TestBrowser, next = "/jobs/1?tab=log#end"): Promise<URL> {
    const { url, response } = await person.open(`${start}?next=${encodeURIComponent(next)}`, isPage);
    if (isCallback(url)) throw new Error(await response.text());
    return url;
  }
  /** Expects a page that says why nobody was signed in. */
  async function problem(person: TestBrowser, address: string | URL = start): Promise<string> {
    const { url, response } = await person.open(address, isPage);
    expect(isPage(url), `signed in at ${url.href}`).toBe(false);
    const text = await response.text();
    expect(response.headers.get("content-type")).toBe("text/html; charset=utf-8");
    expect(text).toContain("<h1>Not signed in</h1>");
    expect(person.cookieOf(site, "airlock_session")).toBeUndefined();
    return `${response.status} ${text.replace(/\s+/g, " ")}`;
  }
  async function whoIs(person: TestBrowser): Promise<SessionView | null> {
    const response = await person.request(`${site}/api/v1/session`);
    return response.status === 200 ? SessionView.parse(await response.json()) : null;
  }
  async function newest(action: string): Promise<AuditPage["entries"]> {
    return AuditPage.parse(await (await target.rest("GET", `/audit?action=${action}&limit=5`)).json()).entries;
  }

  it("creates a user, begins a session and shows the page that was asked for", async () => {
    provider.accounts.set("sub-ann", {
      preferred_username: "Ann.Smith@example.com",
      name: "Ann\u202e Smith",
      groups: [],
    });
    const methods = SignInMethods.parse(await (await fetch(`${target.url}/api/v1/sign-in`)).json());
    expect(methods.openIdConnect).toEqual({ label: "Example & Co.", path: "/api/v1/sign-in/oidc" });
    const ann = browser("sub-ann");
    expect((await signIn(ann)).href).toBe(`${site}/jobs/1?tab=log#end`);
    expect(await whoIs(ann)).toMatchObject({ role: "member", user: { name: "ann-smith" } });
    expect(await newest("session.begun")).toMatchObject([
      { actor: "ann-smith", via: "openid-connect", address: "127.0.0.1", namespace: "ann-smith" },
    ]);
    expect(await newest("identity.linked")).toMatchObject([
      { details: { issuer: provider.issuer, subject: "sub-ann" } },
    ]);
    // The flow's cookie is gone, and the session's is strict.
    expect([...(ann.cookies.get(site)?.keys() ?? [])].sort()).toEqual(["airlock_browser", "airlock_session"]);
    // The same person with another name and address stays the same user.
    provider.accounts.set("sub-ann", { preferred_username: "renamed", groups: [] });
    const again = browser("sub-ann");
    await signIn(again);
    expect((await whoIs(again))?.user?.name).toBe("ann-smith");
  });

  it("is what the address, the state, the challenge and the nonce ask for", async () => {
    const { url } = await browser("x").open(start, () => true);
    expect(url.origin).toBe(provider.issuer);
    expect(Object.fromEntries(url.searchParams)).toMatchObject({
      client_id: clientId,
      redirect_uri: redirectUri,
      response_type: "code",
      scope: "openid profile groups",
      code_challenge_method: "S256",
      code_challenge: expect.stringMatching(/^[\w-]{43}$/) as string,
      state: expect.stringMatching(/^[\w-]{43}$/) as string,
      nonce: expect.stringMatching(/^[\w-]{43}$/) as string,
    });
  });

  describe("never gives somebody else's account", () => {
    it("by name or e-mail address: the user links it, signed in with the password", async () => {
      const cookie = await signedInUser(target, "dora");
      provider.accounts.set("sub-dora", { preferred_username: "dora", email: "dora@example.com", groups: [] });
      expect(await problem(browser("sub-dora"))).toMatch(/^403 .*name &quot;dora&quot; is taken, and is not linked/);
      const dora = browser("sub-dora");
      dora.cookies.set(site, new Map([["airlock_session", { value: cookie.split("=")[1] ?? "", path: "/" }]]));
      const begun = await dora.request(`${site}/api/v1/account/identities`, {
        method: "POST",
        headers: { "sec-fetch-site": "same-origin" },
      });
      expect(begun.status).toBe(200);
      const { location } = SignInLocation.parse(await begun.json());
      expect((await dora.open(location, isPage)).url.href).toBe(`${site}/account`);
      expect((await whoIs(dora))?.user?.name).toBe("dora");
      const later = browser("sub-dora");
      await signIn(later);
      expect((await whoIs(later))?.user?.name).toBe("dora");
      const list = await later.request(`${site}/api/v1/account/identities`);
      expect(IdentityList.parse(await list.json()).identities).toMatchObject([{ subject: "sub-dora" }]);
    });

    it("by a link that another site began", async () => {
      const cookie = await signedInUser(target, "victim");
      const response = await fetch(`${target.url}/api/v1/account/identities`, {
        method: "POST",
        headers: { cookie, "sec-fetch-site": "cross-site" },
      });
      expect(response.status).toBe(403);
    });

    it("by linking an account that belongs to another user", async () => {
      const cookie = await signedInUser(target, "envy");
      const envy = browser("sub-dora");
      envy.cookies.set(site, new Map([["airlock_session", { value: cookie.split("=")[1] ?? "", path: "/" }]]));
      const begun = await envy.request(`${site}/api/v1/account/identities`, {
        method: "POST",
        headers: { "sec-fetch-site": "same-origin" },
      });
      const { url, response } = await envy.open(SignInLocation.parse(await begun.json()).location, isPage);
      expect(isCallback(url)).toBe(true);
      expect([response.status, await response.text()]).toEqual([
        409,
        expect.stringContaining("linked to another user"),
      ]);
    });

    it("by names that can't be names here", async () => {
      for (const name of ["", "admin", "<script>alert(1)</script>", "ünïcode", "a".repeat(300), 7, null, "../x"]) {
        provider.accounts.set("sub-odd", { preferred_username: name, groups: [] });
        const page = await problem(browser("sub-odd"));
        expect(page).toMatch(/^403 .*can't be a name here|^403 .*can&#39;t be a name here/);
        expect(page).not.toContain("<script>");
      }
    });

    it("but an administrator can link it, which ends the user's sessions", async () => {
      const cookie = await signedInUser(target, "finn");
      provider.accounts.set("sub-finn", { preferred_username: "other", groups: [] });
      expect((await target.rest("PUT", "/users/finn/identity", { subject: "sub-finn" })).status).toBe(204);
      expect((await fetch(`${target.url}/api/v1/session`, { headers: { cookie } })).status).toBe(401);
      const finn = browser("sub-finn");
      await signIn(finn);
      expect((await whoIs(finn))?.user?.name).toBe("finn");
      const taken = await target.rest("PUT", "/users/dora/identity", { subject: "sub-finn" });
      expect(taken.status).toBe(409);
      expect((await target.rest("PUT", "/users/finn/identity", { subject: null })).status).toBe(204);
      expect(await whoIs(finn)).toBeNull();
      expect((await newest("identity")).map(({ action }) => action).slice(0, 2)).toEqual([
        "identity.unlinked",
        "identity.linked",
      ]);
    });
  });

  describe("refuses", () => {
    beforeAll(() => {
      provider.accounts.set("sub-eve", { preferred_username: "eve", groups: [] });
    });

    it.each([
      ["nonce", (claims: object) => ({ ...claims, nonce: "another" }), /403 .*not valid.*nonce/],
      ["missing nonce", (claims: object) => ({ ...claims, nonce: undefined }), /403 .*not valid.*nonce/],
      ["issuer", (claims: object) => ({ ...claims, iss: "https://evil.example" }), /403 .*not valid.*iss/],
      ["audience", (claims: object) => ({ ...claims, aud: "another-client" }), /403 .*not valid.*aud/],
      ["authorized party", (claims: object) => ({ ...claims, aud: [clientId, "other"], azp: "other" }), /403 .*azp/],
      ["missing subject", (claims: object) => ({ ...claims, sub: undefined }), /403 .*sub/],
      [
        "clock that is an hour behind",
        (claims: object) => ({ ...claims, iat: Date.now() / 1000 - 7200, exp: Date.now() / 1000 - 3600 }),
        /502 .*not valid now.*clocks/,
      ],
      [
        "clock that is an hour ahead",
        (claims: object) => ({ ...claims, nbf: Math.floor(Date.now() / 1000) + 3600 }),
        /502 .*not valid now.*clocks/,
      ],
    ])("an ID token with a wrong %s", async (_name, idToken, expected) => {
      provider.tamper = { idToken };
      expect(await problem(browser("sub-eve"))).toMatch(expected);
      expect((await newest("session.refused"))[0]).toMatchObject({ via: "none", details: { with: "openid-connect" } });
    });

    it("an ID token that another key signed", async () => {
      provider.tamper = { withForeignKey: true };
      expect(await problem(browser("sub-eve"))).toMatch(/^403 .*signature/);
    });

    it("more claims about somebody else", async () => {
      provider.tamper = { userInfo: (claims) => ({ ...claims, sub: "sub-ann" }) };
      expect(await problem(browser("sub-eve"))).toMatch(/^403 .*sub/);
    });

    it("nothing for clocks that differ by half a minute", async () => {
      provider.tamper = { idToken: (claims) => ({ ...claims, exp: Math.floor(Date.now() / 1000) - 30 }) };
      await signIn(browser("sub-eve"));
    });

    it("a wrong or missing state, and one of another browser", async () => {
      const eve = browser("sub-eve");
      const { url } = await eve.open(start, isCallback);
      const wrong = new URL(url);
      wrong.searchParams.set("state", "x".repeat(43));
      expect(await problem(eve, wrong)).toMatch(/^400 .*another browser/);
      wrong.searchParams.delete("state");
      expect(await problem(eve, wrong)).toMatch(/^400 /);
      // An attacker gives their own callback to somebody else, who would then work in the attacker's account.
      expect(await problem(browser("sub-ann"), url)).toMatch(/^400 .*another browser/);
      // A cookie that somebody made is not a sign-in.
      const forged = browser("sub-ann");
      const state = url.searchParams.get("state") ?? "";
      const text = Buffer.from(
        JSON.stringify({ state, nonce: "n", verifier: "v", next: "/", linkTo: 1, expiresAt: 9e15 }),
      );
      forged.cookies.set(
        site,
        new Map([[`airlock_flow_${state.slice(0, 12)}`, { value: `${text.toString("base64url")}.forged`, path: "/" }]]),
      );
      expect(await problem(forged, url)).toMatch(/^400 /);
    });

    it("a code that was used, with and without the cookie of its sign-in", async () => {
      const eve = browser("sub-eve");
      const { url } = await eve.open(start, isCallback);
      const kept = new Map(eve.cookies.get(site));
      expect((await eve.open(url, isPage)).url.pathname).toBe("/");
      eve.cookies.get(site)?.delete("airlock_session");
      expect(await problem(eve, url)).toMatch(/^400 .*finished before/);
      eve.cookies.set(site, kept);
      expect(await problem(eve, url)).toMatch(/^403 .*no longer accepts this sign-in/);
    });

    it("a code that has expired", async () => {
      provider.codeSeconds = 1;
      const eve = browser("sub-eve");
      const { url } = await eve.open(start, isCallback);
      const expired = Date.now() + 2000;
      while (Date.now() < expired) await new Promise((resolve) => setTimeout(resolve, expired - Date.now()));
      expect(await problem(eve, url)).toMatch(/^403 .*no longer accepts/);
    });

    it("a person who said no, and shows no markup of the provider", async () => {
      const page = await problem(browser(null));
      expect(page).toMatch(/^403 .*Example &amp; Co\. did not sign you in: access_denied/);
      expect(page).not.toContain("<b>");
      const eve = browser("sub-eve");
      const { url } = await eve.open(start, isCallback);
      const state = url.searchParams.get("state") ?? "";
      const hostile = `${redirectUri}?state=${state}&iss=${encodeURIComponent(provider.issuer)}&error=${encodeURIComponent("<img src=x>\u202e")}`;
      expect(await problem(eve, hostile)).not.toMatch(/<img|\u202e/);
    });

    it("an answer of another provider (mix-up)", async () => {
      const eve = browser("sub-eve");
      const { url } = await eve.open(start, isCallback);
      url.searchParams.set("iss", "https://evil.example");
      expect(await problem(eve, url)).toMatch(/^403 .*iss/);
    });
  });

  it.each([
    "https://evil.example/",
    "//evil.example/",
    "/\\evil.example/",
    "/\t/evil.example/",
    "/..//evil.example/",
    "\\\\evil.example",
    "javascript:alert(1)",
    "jobs",
    "/api/v1/sign-in/oidc",
    `/${"x".repeat(2000)}`,
    "",
    "http://airlock.example@evil.example/",
  ])("does not lead to another site: %s", async (next) => {
    const ann = browser("sub-ann");
    const { response } = await ann.open(`${start}?next=${encodeURIComponent(next)}`, isPage);
    expect(response.headers.get("location")).toBe("/");
  });

  it("works in several tabs of one browser at once, and keeps few cookies", async () => {
    const ann = browser("sub-ann");
    await signIn(ann);
    const tabs = [];
    for (let tab = 0; tab < 7; tab += 1) tabs.push(await ann.open(`${start}?next=/tab-${tab}`, isCallback));
    expect([...(ann.cookies.get(site)?.keys() ?? [])].filter((name) => name.startsWith("airlock_flow_")).length).toBe(
      5,
    );
    // The oldest tabs have to begin again. The others end in any order.
    for (const tab of [6, 2, 4]) {
      const { url, response } = await ann.open(tabs[tab]?.url ?? "", isPage);
      expect(url.pathname, response.bodyUsed ? "" : await response.text()).toBe(`/tab-${tab}`);
    }
    expect((await ann.open(tabs[0]?.url ?? "", isPage)).response.status).toBe(400);
    expect((await whoIs(ann))?.user?.name).toBe("ann-smith");
  });

  it("makes one user of a new person with two tabs", async () => {
    provider.accounts.set("sub-gus", { preferred_username: "gus", groups: ["engineers"] });
    const tabs = [browser("sub-gus"), browser("sub-gus")];
    await Promise.all(tabs.map((tab) => signIn(tab)));
    for (const tab of tabs) expect((await whoIs(tab))?.user?.name).toBe("gus");
  });

  describe("of groups", () => {
    const membershipsOf = async (person: TestBrowser) =>
      Object.fromEntries((await whoIs(person))?.namespaces.map(({ name, role }) => [name, role]) ?? []);

    it("gives roles, and takes them away when the person leaves the group", async () => {
      const hal = browser("sub-hal");
      provider.accounts.set("sub-hal", { preferred_username: "hal", groups: ["engineers", "leads", "unknown", 7] });
      await signIn(hal);
      expect(await membershipsOf(hal)).toEqual({ hal: "owner", acme: "owner", tools: "viewer" });
      const { organizations } = OrganizationList.parse(await (await target.rest("GET", "/organizations")).json());
      expect(organizations.map(({ name }) => name)).toEqual(expect.arrayContaining(["acme", "tools"]));
      // Roles that no group gives stay.
      await target.rest("POST", "/organizations", { name: "private" });
      await target.rest("PUT", "/organizations/private/members/hal", { role: "member" });
      provider.accounts.set("sub-hal", { groups: "engineers" });
      await signIn(hal);
      expect(await membershipsOf(hal)).toEqual({ hal: "owner", acme: "member", private: "member" });
      provider.accounts.set("sub-hal", {});
      await signIn(hal);
      expect(await membershipsOf(hal)).toEqual({ hal: "owner", private: "member" });
      expect((await newest("member")).slice(0, 2)).toMatchObject([
        { action: "member.removed", actor: "hal", via: "openid-connect", namespace: "acme", details: { by: "groups" } },
        { action: "member.removed", namespace: "tools" },
      ]);
    });

    it("makes administrators, but never takes the role from the last one", async () => {
      const ida = browser("sub-ida");
      const jon = browser("sub-jon");
      provider.accounts.set("sub-ida", { preferred_username: "ida", groups: ["ops, night"] });
      await signIn(ida);
      expect((await whoIs(ida))?.role).toBe("administrator");
      provider.accounts.set("sub-ida", { groups: [] });
      await signIn(ida);
      expect((await whoIs(ida))?.role).toBe("administrator");
      provider.accounts.set("sub-jon", { preferred_username: "jon", groups: ["ops, night"] });
      await signIn(jon);
      await signIn(ida);
      expect((await whoIs(ida))?.role).toBe("member");
      expect(await newest("user.changed")).toMatchObject([
        { actor: "ida", details: { role: "member", by: "groups" } },
        { actor: "jon", details: { role: "administrator" } },
        { actor: "ida", details: { role: "administrator" } },
      ]);
    });
  });

  it("ends with the user: a disabled one can't sign in, and has no session", async () => {
    provider.accounts.set("sub-kim", { preferred_username: "kim", groups: [] });
    const kim = browser("sub-kim");
    await signIn(kim);
    const { url } = await kim.open(start, isCallback);
    await target.rest("PATCH", "/users/kim", { disabled: true });
    expect(await whoIs(kim)).toBeNull();
    const { response } = await kim.open(url, isPage);
    expect([response.status, await response.text()]).toEqual([403, expect.stringContaining("is disabled")]);
    expect(await problem(browser("sub-kim"))).toMatch(/^403 .*is disabled/);
  });

  describe("without local accounts", () => {
    it("refuses every way with a password, and keeps the administrator's token", async () => {
      const send = (method: string, path: string, body: object, headers: Record<string, string> = {}) =>
        fetch(`${strict.url}/api/v1${path}`, {
          method,
          headers: { "content-type": "application/json", ...headers },
          body: JSON.stringify(body),
        });
      const cookie = cookieOf(
        await fetch(`${target.url}/api/v1/sign-in`, {
          method: "POST",
          headers: { "content-type": "application/json" },
          body: JSON.stringify({ name: "dora", password: testPassword }),
        }),
      );
      const session = { cookie, "sec-fetch-site": "same-origin" };
      const bearer = { authorization: `Bearer ${strict.instance.administratorToken}` };
      const answers = [
        await send("POST", "/sign-in", { name: "dora", password: testPassword }),
        await send("POST", "/password", { token: "x".repeat(43), password: testPassword }),
        await send("POST", "/setup", { name: "first", password: testPassword }, bearer),
        await send("PUT", "/account/password", { currentPassword: testPassword, password: testPassword }, session),
        await strict.rest("POST", "/users/dora/password-link"),
      ];
      for (const answer of answers) {
        expect([answer.status, await answer.text()]).toEqual([403, expect.stringContaining("local-accounts-off")]);
      }
      expect((await strict.rest("GET", "/users")).status).toBe(200);
      const methods = SignInMethods.parse(await (await fetch(`${strict.url}/api/v1/sign-in`)).json());
      expect(methods).toMatchObject({ password: false, openIdConnect: { label: "Example & Co." } });
    });

    it("lets only people in who have an account, if the setting says so", async () => {
      provider.accounts.set("sub-new", { preferred_username: "newcomer" });
      expect(await problem(browser("sub-new", strict))).toMatch(/^403 .*no account on this instance/);
      const dora = browser("sub-dora", strict);
      await signIn(dora);
      expect((await whoIs(dora))?.user?.name).toBe("dora");
    });
  });

  it("fails with an explanation while the provider is away, and works when it is back", async () => {
    await provider.stop();
    let late: TestInstance;
    try {
      const database = await createDatabase(engines().postgres?.url ?? "");
      late = stack.use(await startTestInstance(database, { externalUrl: site, openIdConnect: settings }));
      expect((await late.rest("GET", "/jobs")).status).toBe(200);
      expect(await problem(browser("sub-ann", late))).toMatch(
        /^502 .*cannot sign in with Example &amp; Co\..*AIRLOCK_OIDC_ISSUER/,
      );
      // The other instance knows the provider from before, and finds out when the person comes back.
      const ann = browser("sub-ann");
      const { response } = await ann.open(start, () => true);
      expect(response.status).toBe(302);
    } finally {
      await provider.start();
    }
    const ann = browser("sub-ann", late);
    const { url } = await ann.open(start, isCallback);
    await provider.stop();
    try {
      expect(await problem(ann, url)).toMatch(/^502 .*cannot sign in/);
    } finally {
      await provider.start();
    }
    await signIn(browser("sub-ann", late));
  });

  it("names a wrong client secret, and an issuer that is another one", async () => {
    const database = await createDatabase(engines().postgres?.url ?? "");
    const open = async (openIdConnect: OidcSettings) =>
      stack.use(await startTestInstance({ url: database.url }, { externalUrl: site, openIdConnect }));
    const wrongSecret = await open({ ...settings, clientSecret: "wrong" });
    expect(await problem(browser("sub-ann", wrongSecret))).toMatch(/^502 .*client id or secret/);
    const alias = provider.issuer.replace("127.0.0.1", "localhost");
    const otherIssuer = await open({ ...settings, issuer: alias });
    expect(await problem(browser("sub-ann", otherIssuer))).toMatch(/^502 .*issuer/);
    const none = stack.use(await startTestInstance(database));
    const response = await fetch(`${none.url}/api/v1/sign-in/oidc`);
    expect([response.status, await response.text()]).toEqual([
      404,
      expect.stringContaining("no OpenID Connect provider"),
    ]);
  });
});
