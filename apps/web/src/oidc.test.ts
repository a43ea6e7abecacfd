import { once } from "node:events";
import { createServer } from "node:net";
import { describeWithEngines, loginHeader, startOidcProvider, type TestOidcProvider } from "@airlock/test-kit";
import axe from "axe-core";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, expect, it } from "vitest";
import { startWebUi, type WebUi } from "./testing/start-web-ui.ts";

const password = "a-long-password-of-a-test";

/** A port that is free now. The provider has to know the instance's address before the instance starts. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  return typeof address === "object" && address ? address.port : 0;
}

describeWithEngines(["chromium"], "the web UI with an OpenID Connect provider", () => {
  const suite = new AsyncDisposableStack();
  let web: WebUi;
  let provider: TestOidcProvider;

  beforeAll(async () => {
    // Another site than the provider's, which has an IP address.
    const host = `localhost:${await freePort()}`;
    const client = {
      clientId: "airlock",
      clientSecret: "a secret",
      redirectUri: `http://${host}/api/v1/sign-in/oidc/callback`,
    };
    provider = suite.use(await startOidcProvider(client));
    web = suite.use(
      await startWebUi({
        listen: host,
        env: {
          AIRLOCK_EXTERNAL_URL: `http://${host}`,
          AIRLOCK_OIDC_ISSUER: provider.issuer,
          AIRLOCK_OIDC_CLIENT_ID: client.clientId,
          AIRLOCK_OIDC_CLIENT_SECRET: client.clientSecret,
          AIRLOCK_OIDC_LABEL: "Example SSO",
        },
      }),
    );
  });
  afterAll(() => suite.disposeAsync());

  /** A page of a browser without a session, whose person uses this account at the provider; `null`: refuses. */
  async function open(path: string, login: string | null): Promise<Page> {
    const headers: Record<string, string> = login === null ? {} : { [loginHeader]: login };
    const page = await web.open({ storageState: { cookies: [], origins: [] }, extraHTTPHeaders: headers });
    await page.goto(`${web.instance.url}${path}`);
    return page;
  }
  const signInLink = (page: Page) => page.getByRole("link", { name: "Log in with Example SSO" });
  const signIn = (page: Page) => signInLink(page).click();

  async function expectRefusal(page: Page, words: RegExp): Promise<void> {
    await page.getByRole("heading", { name: "Not signed in" }).waitFor();
    expect(await page.getByRole("main").textContent()).toMatch(words);
    await page.evaluate(axe.source);
    const violations = await page.evaluate(async () => {
      const { axe: checker } = window as unknown as { axe: typeof axe };
      return (await checker.run(document, { resultTypes: ["violations"] })).violations.map(({ id }) => id);
    });
    expect(violations).toEqual([]);
    await page.getByRole("link", { name: "Back to Airlock" }).click();
    await signInLink(page).waitFor();
  }

  it("says that the provider is away, and signs in once it is back", async () => {
    provider.accounts.set("sub-gil", { preferred_username: "gil" });
    const page = await open("/jobs", "sub-gil");
    await signInLink(page).waitFor();
    await provider.stop();
    // The instance does not know the provider's addresses yet.
    await web.instance.kill();
    await web.instance.restart();
    await signIn(page);
    await expectRefusal(page, /Example SSO/);
    await provider.start();
    await signIn(page);
    await page.getByRole("heading", { name: "Jobs", exact: true }).waitFor();
    await page.context().close();
  });

  it("signs a person in, and shows the page that was asked for", async () => {
    provider.accounts.set("sub-ann", { preferred_username: "ann" });
    const page = await open("/secrets?view=record", "sub-ann");
    await signIn(page);
    await page.waitForURL("**/secrets?view=record");
    await page.getByRole("heading", { name: "Secrets", exact: true }).waitFor();
    await page.getByRole("button", { name: "Session", exact: true }).click();
    await page.getByText(/^ann · airlock/).waitFor();
    await page.context().close();
  });

  it("links an account on the account page, with which its owner signs in from then on", async () => {
    await web.instance.rest("POST", "/users", { name: "dora" });
    const { token } = (await web.instance.rest("POST", "/users/dora/password-link")) as { token: string };
    provider.accounts.set("sub-dora", { preferred_username: "dora" });
    const page = await open(`/password#token=${token}`, "sub-dora");
    await page.getByLabel("New password").fill(password);
    await page.getByRole("button", { name: "Set the password and log in" }).click();
    await page.waitForURL("**/jobs");
    await page.goto(`${web.instance.url}/account`);
    await page.getByText("No account of Example SSO is linked to yours.").waitFor();
    await page.getByRole("button", { name: "Link an account" }).click();
    await page.getByRole("dialog").getByRole("textbox", { name: "Password" }).fill(password);
    await page.getByRole("dialog").locator("button[type=submit]").click();
    await page.getByText(/^Account sub-dora at http:\/\/127\.0\.0\.1:\d+, linked/).waitFor();
    await page.getByRole("button", { name: "Session", exact: true }).click();
    await page.getByRole("menuitem", { name: "Log out" }).click();
    await signIn(page);
    await page.getByRole("button", { name: "Session", exact: true }).click();
    await page.getByText(/^dora · airlock/).waitFor();
    await page.context().close();
  });

  it("explains why a disabled user, a taken name or a refusal at the provider signs nobody in", async () => {
    await web.instance.rest("POST", "/users", { name: "erin" });
    provider.accounts.set("sub-other", { preferred_username: "erin" });
    const taken = await open("/jobs", "sub-other");
    await signIn(taken);
    await expectRefusal(taken, /erin/);
    await taken.context().close();

    provider.accounts.set("sub-fay", { preferred_username: "fay" });
    const fay = await open("/jobs", "sub-fay");
    await signIn(fay);
    await fay.getByRole("heading", { name: "Jobs", exact: true }).waitFor();
    await web.instance.rest("PATCH", "/users/fay", { disabled: true });
    await fay.goto(`${web.instance.url}/secrets`);
    await signIn(fay);
    await expectRefusal(fay, /your account on this instance is disabled/i);
    await fay.context().close();

    const refusing = await open("/jobs", null);
    await signIn(refusing);
    await expectRefusal(refusing, /did not sign you in: access_denied/);
    await refusing.context().close();
  });
});
