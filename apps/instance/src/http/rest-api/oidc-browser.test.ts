import { once } from "node:events";
import { mkdir, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import path from "node:path";
import {
  createDatabase,
  describeWithEngines,
  engines,
  loginHeader,
  startOidcProvider,
  type TestOidcProvider,
  temporaryDirectory,
} from "@airlock/test-kit";
import { type Browser, type BrowserContext, chromium, type Page } from "playwright-core";
import { afterAll, beforeAll, expect, it } from "vitest";
import { signedInUser, testPassword } from "../../testing/sign-in.ts";
import { startTestInstance, type TestInstance } from "../../testing/test-instance.ts";

/** A port that is free now. The address of the instance has to be known before it starts. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  return typeof address === "object" && address ? address.port : 0;
}

// A browser decides which cookies go with a request that another site caused, and tests with fetch() can't tell.
describeWithEngines(["postgres", "chromium"], "signing in with OpenID Connect in a browser", () => {
  const stack = new AsyncDisposableStack();
  let provider: TestOidcProvider;
  let target: TestInstance;
  let browser: Browser;
  /** Another site than the provider's, which has an IP address. */
  let site: string;

  beforeAll(async () => {
    const port = await freePort();
    site = `http://localhost:${port}`;
    const client = {
      clientId: "airlock",
      clientSecret: "a secret",
      redirectUri: `${site}/api/v1/sign-in/oidc/callback`,
    };
    provider = stack.use(await startOidcProvider(client));
    const directory = stack.use(await temporaryDirectory());
    const webDirectory = path.join(directory.path, "web");
    await mkdir(webDirectory);
    await writeFile(path.join(webDirectory, "index.html"), "<!doctype html><title>Airlock</title><h1>Airlock</h1>");
    target = stack.use(
      await startTestInstance(await createDatabase(engines().postgres?.url ?? ""), {
        listen: { host: "localhost", port },
        externalUrl: site,
        webDirectory,
        openIdConnect: {
          ...client,
          issuer: provider.issuer,
          label: "SSO",
          scopes: "openid profile",
          nameClaim: "preferred_username",
          groupsClaim: "groups",
          groups: new Map(),
          createUsers: true,
          sessionMs: 3_600_000,
        },
      }),
    );
    browser = await chromium.launch({
      executablePath: engines().chromium?.executablePath ?? "",
      args: ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"],
    });
    stack.defer(() => browser.close());
  });
  afterAll(() => stack.disposeAsync());

  /** A browser whose person uses this account at the provider. */
  async function open(login: string): Promise<BrowserContext> {
    return browser.newContext({ extraHTTPHeaders: { [loginHeader]: login } });
  }
  const nameIn = (page: Page): Promise<string | null> =>
    page.evaluate(async () => {
      const response = await fetch("/api/v1/session");
      const { user } = (await response.json()) as { user?: { name: string } };
      return user?.name ?? null;
    });

  it("comes back from the other site to the page that was asked for, with a strict session cookie", async () => {
    provider.accounts.set("sub-ann", { preferred_username: "ann" });
    await using context = await open("sub-ann");
    const page = await context.newPage();
    await page.goto(`${site}/api/v1/sign-in/oidc?next=/jobs%3Fstate%3Dqueued`);
    expect(page.url()).toBe(`${site}/jobs?state=queued`);
    expect(await nameIn(page)).toBe("ann");
    const cookies = await context.cookies(site);
    expect(cookies.find(({ name }) => name === "airlock_session")).toMatchObject({
      sameSite: "Strict",
      httpOnly: true,
    });
    expect(cookies.filter(({ name }) => name.startsWith("airlock_flow_"))).toEqual([]);
  });

  it("links an account, although the session's cookie does not come back from the other site", async () => {
    await signedInUser(target, "dora");
    provider.accounts.set("sub-dora", { preferred_username: "dora" });
    await using context = await open("sub-dora");
    const page = await context.newPage();
    await page.goto(`${site}/`);
    const location = await page.evaluate(async (password) => {
      const headers = { "content-type": "application/json" };
      await fetch("/api/v1/sign-in", { method: "POST", headers, body: JSON.stringify({ name: "dora", password }) });
      const response = await fetch("/api/v1/account/identities", {
        method: "POST",
        headers,
        body: JSON.stringify({ currentPassword: password }),
      });
      return ((await response.json()) as { location: string }).location;
    }, testPassword);
    await page.goto(location);
    expect(page.url()).toBe(`${site}/account`);
    expect(await nameIn(page)).toBe("dora");
    await context.clearCookies();
    await page.goto(`${site}/api/v1/sign-in/oidc`);
    expect(await nameIn(page)).toBe("dora");
  });

  it("shows why nobody was signed in, with a way back", async () => {
    await using context = await open("sub-none");
    const page = await context.newPage();
    await page.goto(`${site}/api/v1/sign-in/oidc/callback?code=x&state=y`);
    expect(await page.title()).toBe("Not signed in · Airlock");
    await page.getByRole("link", { name: "Back to Airlock" }).click();
    await page.getByRole("heading", { name: "Airlock", exact: true }).waitFor();
    expect(page.url()).toBe(`${site}/`);
    expect(await nameIn(page)).toBeNull();
  });
});
