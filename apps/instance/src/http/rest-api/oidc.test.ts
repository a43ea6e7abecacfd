import { IdentityList, OrganizationList, SignInLocation, SignInMethods } from "@airlock/api";
import {
  createDatabase,
  describeWithEngines,
  engines,
  type TestBrowser,
  type TestOidcProvider,
} from "@airlock/test-kit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { OidcSettings } from "../../oidc/oidc-settings.ts";
import {
  beginLink,
  clientId,
  isCallback,
  isPage,
  type OidcSite,
  problem,
  redirectUri,
  signIn,
  site,
  start,
  startOidcSite,
  whoIs,
} from "../../testing/oidc-site.ts";
import { cookieOf, signedInUser, testPassword } from "../../testing/sign-in.ts";
import { startTestInstance, type TestInstance } from "../../testing/test-instance.ts";

describeWithEngines(["postgres"], "signing in with OpenID Connect", () => {
  const stack = new AsyncDisposableStack();
  let oidc: OidcSite;
  let provider: TestOidcProvider;
  let target: TestInstance;
  /** On the same database, with other settings. */
  let strict: TestInstance;
  let settings: OidcSettings;

  beforeAll(async () => {
    oidc = stack.use(await startOidcSite());
    ({ provider, target, settings } = oidc);
    strict = stack.use(
      await startTestInstance(
        { url: oidc.database.url },
        {
          externalUrl: site,
          localAccounts: false,
          openIdConnect: { ...settings, groups: new Map(), createUsers: false },
        },
      ),
    );
  });
  afterAll(() => stack.disposeAsync());

  const browser = (login: string | null, instance?: TestInstance): TestBrowser => oidc.browser(login, instance);
  const newest = (action: string) => oidc.newest(action);

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
      await signedInUser(target, "dora");
      provider.accounts.set("sub-dora", { preferred_username: "dora", email: "dora@example.com", groups: [] });
      expect(await problem(browser("sub-dora"))).toMatch(/^403 .*name &quot;dora&quot; is taken, and is not linked/);
      const dora = browser("sub-dora");
      expect((await beginLink(dora, "dora", "a wrong password")).status).toBe(401);
      const { location } = SignInLocation.parse(await (await beginLink(dora, "dora")).json());
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
      await signedInUser(target, "envy");
      const envy = browser("sub-dora");
      const { location } = SignInLocation.parse(await (await beginLink(envy, "envy")).json());
      const { url, response } = await envy.open(location, isPage);
      expect(isCallback(url)).toBe(true);
      const text = await response.text();
      expect([response.status, text]).toEqual([409, expect.stringContaining("linked to another user")]);
      // And not a second one of the same user.
      const dora = browser("sub-third");
      const second = SignInLocation.parse(await (await beginLink(dora, "dora")).json());
      const answer = await dora.open(second.location, isPage);
      expect([answer.response.status, await answer.response.text()]).toEqual([
        409,
        expect.stringContaining("linked to another account of the provider"),
      ]);
    });

    it("by a session that its owner ended meanwhile", async () => {
      const cookie = await signedInUser(target, "rob");
      const thief = browser("sub-thief");
      const { location } = SignInLocation.parse(await (await beginLink(thief, "rob")).json());
      const { url } = await thief.open(location, isCallback);
      const ended = await fetch(`${target.url}/api/v1/account/sessions`, {
        method: "DELETE",
        headers: { cookie, "sec-fetch-site": "same-origin" },
      });
      expect(ended.status).toBe(204);
      const { response } = await thief.open(url, isPage);
      expect([response.status, await response.text()]).toEqual([403, expect.stringContaining("has ended")]);
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
