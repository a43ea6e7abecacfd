import { describeWithEngines, type TestBrowser, type TestOidcProvider } from "@airlock/test-kit";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import {
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
} from "../../testing/oidc-site.ts";

describeWithEngines(["postgres"], "a sign-in with OpenID Connect", () => {
  let oidc: OidcSite;
  let provider: TestOidcProvider;
  const browser = (login: string | null): TestBrowser => oidc.browser(login);
  beforeAll(async () => {
    oidc = await startOidcSite();
    provider = oidc.provider;
    for (const name of ["ann", "eve"]) provider.accounts.set(`sub-${name}`, { preferred_username: name, groups: [] });
  });
  beforeEach(() => {
    provider.tamper = {};
    provider.codeSeconds = 60;
  });
  afterAll(() => oidc?.[Symbol.asyncDispose]());

  describe("refuses", () => {
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
    });

    it("and puts that into the audit log", async () => {
      provider.tamper = { idToken: (claims) => ({ ...claims, nonce: "another" }) };
      await problem(browser("sub-eve"));
      expect(await oidc.newest("session.refused")).toContainEqual(
        expect.objectContaining({
          actor: "",
          via: "none",
          details: {
            code: "sign-in-refused",
            with: "openid-connect",
            problem: expect.stringContaining("nonce") as string,
          },
        }),
      );
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
    `/${"ü".repeat(900)}`,
    "",
    "http://airlock.example@evil.example/",
  ])("does not lead to another site: %s", async (next) => {
    const ann = browser("sub-ann");
    const { response } = await ann.open(`${start}?next=${encodeURIComponent(next)}`, isPage);
    expect(response.headers.get("location")).toBe("/");
  });

  it("is not kept from people by another site that begins many with long addresses", async () => {
    const ann = browser("sub-ann");
    for (let time = 0; time < 12; time += 1) {
      await ann.open(`${start}?next=/${"x".repeat(999)}`, isCallback);
    }
    expect((await signIn(ann)).pathname).toBe("/jobs/1");
  });
});
