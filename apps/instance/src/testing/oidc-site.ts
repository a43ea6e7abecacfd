import { AuditPage, SessionView } from "@airlock/api";
import { createDatabase, engines, startOidcProvider, TestBrowser, type TestOidcProvider } from "@airlock/test-kit";
import { expect } from "vitest";
import type { OidcSettings } from "../oidc/oidc-settings.ts";
import { testPassword } from "./sign-in.ts";
import { startTestInstance, type TestInstance } from "./test-instance.ts";

/** The address of the instance for people. Browsers of the tests find it elsewhere. */
export const site = "http://airlock.example";
export const clientId = "airlock";
/** Where a sign-in begins. */
export const start = `${site}/api/v1/sign-in/oidc`;
export const redirectUri = `${start}/callback`;

export const isCallback = (url: URL) => url.pathname.endsWith("/callback");
export const isPage = (url: URL) => url.origin === site && !url.pathname.startsWith("/api/");

const clientSecret = "the client's secret";

/** A provider, and an instance whose people sign in with it. */
export interface OidcSite extends AsyncDisposable {
  readonly provider: TestOidcProvider;
  readonly target: TestInstance;
  readonly settings: OidcSettings;
  /** The database of `target`. */
  readonly database: { readonly url: string };
  /** A browser whose person uses this account at the provider; `null`: the person refuses. */
  browser(login: string | null, instance?: TestInstance): TestBrowser;
  /** The newest entries of the audit log with these actions. */
  newest(action: string): Promise<AuditPage["entries"]>;
}

export async function startOidcSite(): Promise<OidcSite> {
  await using stack = new AsyncDisposableStack();
  const provider = stack.use(await startOidcProvider({ redirectUri, clientId, clientSecret }));
  const database = await createDatabase(engines().postgres?.url ?? "");
  const settings: OidcSettings = {
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
  const target = stack.use(await startTestInstance(database, { externalUrl: site, openIdConnect: settings }));
  const resources = stack.move();
  return {
    provider,
    target,
    settings,
    database,
    browser: (login, instance = target) => new TestBrowser({ [site]: instance.url }, login),
    async newest(action) {
      return AuditPage.parse(await (await target.rest("GET", `/audit?action=${action}&limit=5`)).json()).entries;
    },
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  };
}

/** Signs a person in, and returns the page that the browser shows then. */
export async function signIn(person: TestBrowser, next = "/jobs/1?tab=log#end"): Promise<URL> {
  const { url, response } = await person.open(`${start}?next=${encodeURIComponent(next)}`, isPage);
  if (isCallback(url)) throw new Error(await response.text());
  return url;
}

/** Expects a page that says why nobody was signed in. Returns its status and text. */
export async function problem(person: TestBrowser, address: string | URL = start): Promise<string> {
  const { url, response } = await person.open(address, isPage);
  expect(isPage(url), `signed in at ${url.href}`).toBe(false);
  const text = await response.text();
  expect(response.headers.get("content-type")).toBe("text/html; charset=utf-8");
  expect(text).toContain("<h1>Not signed in</h1>");
  expect(person.cookieOf(site, "airlock_session")).toBeUndefined();
  return `${response.status} ${text.replace(/\s+/g, " ")}`;
}

export async function whoIs(person: TestBrowser): Promise<SessionView | null> {
  const response = await person.request(`${site}/api/v1/session`);
  return response.status === 200 ? SessionView.parse(await response.json()) : null;
}

/** Signs in to the instance's own account with its password, and begins to link it. */
export async function beginLink(
  person: TestBrowser,
  name: string,
  currentPassword: string = testPassword,
): Promise<Response> {
  const send = (path: string, body: object) =>
    person.request(`${site}/api/v1${path}`, {
      method: "POST",
      headers: { "sec-fetch-site": "same-origin", "content-type": "application/json" },
      body: JSON.stringify(body),
    });
  expect((await send("/sign-in", { name, password: testPassword })).status).toBe(200);
  return send("/account/identities", { currentPassword });
}
