import { describeWithEngines } from "@airlock/test-kit";
import axe from "axe-core";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, expect, it } from "vitest";
import { ScriptedExecutor } from "./testing/scripted-executor.ts";
import { startWebUi, type WebUi } from "./testing/start-web-ui.ts";

const password = "a-long-password-of-a-test";

describeWithEngines(["chromium"], "the pages of organizations and administration", () => {
  let web: WebUi;
  /** The page of the administrator's token. */
  let page: Page;

  beforeAll(async () => {
    web = await startWebUi();
    page = await web.open();
  });
  afterAll(() => web[Symbol.asyncDispose]());

  const rest = (method: string, route: string, body?: unknown) => web.instance.rest(method, route, body);
  const open = async (path: string, tab = page) => {
    await tab.goto(`${web.instance.url}${path}`);
    await tab.getByRole("heading", { level: 1 }).waitFor();
  };
  const press = (name: string | RegExp, tab = page) => tab.getByRole("button", { name, exact: true }).click();
  const text = (words: string, tab = page) => tab.getByText(words, { exact: true }).waitFor();
  const dialog = () => page.getByRole("dialog");
  const field = (label: string) => page.getByRole("textbox", { name: label, exact: true });
  /** What a screen reader reads with a field. */
  const errorOf = async (label: string) => {
    await field(label).and(page.locator('[aria-invalid="true"]')).waitFor();
    const ids = (await field(label).getAttribute("aria-describedby")) ?? "";
    const texts = await Promise.all(ids.split(/ +/).map((id) => page.locator(`[id="${id}"]`).textContent()));
    return texts.join(" ");
  };

  /** A page in which a new user is signed in. */
  async function signIn(name: string, role: "administrator" | "member" = "member"): Promise<Page> {
    await rest("POST", "/users", { name, role });
    const { token } = (await rest("POST", `/users/${name}/password-link`)) as { token: string };
    const tab = await web.open({ storageState: { cookies: [], origins: [] } });
    const headers = { origin: web.instance.url };
    const data = { token, password };
    const answer = await tab.request.post(`${web.instance.url}/api/v1/password`, { headers, data });
    expect(answer.status()).toBe(200);
    return tab;
  }

  it("creates an organization and manages its members, with errors at their fields", async () => {
    await rest("POST", "/users", { name: "ada", displayName: "Ada Lovelace" });
    await open("/organizations");
    await press("New organization");
    await field("Name").fill("Team Blue");
    await press("Create organization");
    expect(await errorOf("Name")).toContain("lower-case");
    await field("Name").fill("ada");
    await press("Create organization");
    expect(await errorOf("Name")).toContain('The name "ada" is taken.');
    await field("Name").fill("team-blue");
    await field("Full name").fill("The blue team");
    await press("Create organization");
    await page.waitForURL("**/organizations/team-blue");
    await text("No members yet");
    await field("User name").fill("nobody-here");
    await press("Add");
    expect(await errorOf("User name")).toContain('No user named "nobody-here"');
    await field("User name").fill("ada");
    await page.getByLabel("Role", { exact: true }).selectOption("owner");
    await press("Add");
    const role = page.getByLabel("Role of ada");
    await role.selectOption("viewer");
    await expect
      .poll(() => rest("GET", "/organizations/team-blue/members"))
      .toMatchObject({ members: [{ role: "viewer" }] });
    await press("Remove ada");
    await press("Keep the member");
    await press("Remove ada");
    await press("Remove member");
    await text("No members yet");
  });

  it("deletes an organization after its name was typed, and says why another one stays", async () => {
    await rest("POST", "/organizations", { name: "short-lived" });
    await rest("PUT", "/secrets/KEPT", { namespace: "short-lived", value: "the value" });
    await open("/organizations/short-lived");
    await press("Delete organization");
    const confirm = dialog().getByRole("button", { name: "Delete organization" });
    expect(await confirm.isDisabled()).toBe(true);
    await field("Type short-lived to confirm").fill("short-lived");
    await confirm.click();
    await dialog().getByText('The organization "short-lived" has 1 secret.').waitFor();
    await rest("DELETE", "/secrets/KEPT?namespace=short-lived");
    await confirm.click();
    await page.waitForURL("**/organizations");
    await open("/organizations?text=short-lived");
    await text("No organization matches");
  });

  it("finds one of many organizations and users page by page", async () => {
    const numbers = Array.from({ length: 105 }, (_, index) => String(index + 100));
    await Promise.all(numbers.map((number) => rest("POST", "/organizations", { name: `guild-${number}` })));
    await open("/organizations?text=guild");
    await expect.poll(() => page.getByRole("row").count()).toBe(101);
    await press("Show more organizations");
    await expect.poll(() => page.getByRole("row").count()).toBe(106);
    await page.getByRole("searchbox", { name: "Search organizations" }).fill("GUILD-17");
    await expect.poll(() => page.getByRole("row").count()).toBe(11);
    expect(new URL(page.url()).searchParams.get("text")).toBe("GUILD-17");
    await press("Clear the search");
    await page.getByRole("searchbox", { name: "Search organizations" }).fill("no-such-guild");
    await text("No organization matches");
  });

  it("creates a user, and shows the one-time link once", async () => {
    await open("/users");
    await press("New user");
    await field("User name").fill("admin");
    await press("Create user");
    expect(await errorOf("User name")).toContain("this name is reserved");
    await field("User name").fill("grace");
    await field("Full name").fill("Grace Hopper");
    await press("Create user");
    const link = (await page.getByRole("region", { name: "Link" }).textContent()) ?? "";
    const { origin, hash } = new URL(link);
    expect(origin).toBe(web.instance.url);
    await page.keyboard.press("Escape");
    await press("Done");
    await page.getByRole("link", { name: "grace" }).click();
    await page.getByRole("heading", { name: "Grace Hopper" }).waitFor();
    expect(await page.locator("body").textContent()).not.toContain(hash.slice(1));
    const tab = await web.open({ storageState: { cookies: [], origins: [] } });
    await tab.goto(link);
    await tab.getByLabel("New password").fill("password1234");
    expect(tab.url()).toBe(`${origin}/password`);
    await press("Set the password and log in", tab);
    await tab.getByText("is one of the most common passwords").waitFor();
    await tab.getByLabel("New password").fill(password);
    await press("Set the password and log in", tab);
    await tab.waitForURL("**/jobs");
    await tab.goto(link);
    await tab.getByLabel("New password").fill(`${password} again`);
    await press("Set the password and log in", tab);
    await tab.getByRole("alert").waitFor();
    await tab.goto("about:blank");
    await tab.goto(`${origin}/password`);
    await tab.getByText(/needs the whole link/).waitFor();
    await tab.context().clearCookies();
    await tab.goto(`${origin}/organizations`);
    await tab.waitForURL("**/login?next=%2Forganizations");
    await tab.getByLabel("User name").fill("grace");
    await tab.getByRole("textbox", { name: "Password" }).fill("not the password");
    await press("Log in", tab);
    await tab.getByRole("alert").waitFor();
    await tab.getByRole("textbox", { name: "Password" }).fill(password);
    await press("Log in", tab);
    await tab.waitForURL("**/organizations");
    await tab.context().close();
    await press("Disable user");
    await dialog().getByRole("button", { name: "Disable user" }).click();
    await press("Enable user");
    await dialog().getByRole("button", { name: "Enable user" }).click();
    await page.getByRole("button", { name: "Disable user" }).waitFor();
  });

  it("ends a user's session and deletes an access token", async () => {
    const tab = await signIn("hedy");
    const headers = { origin: web.instance.url };
    const data = { name: "for scripts", scopes: ["read"], expiresAt: null };
    await tab.request.post(`${web.instance.url}/api/v1/account/tokens`, { headers, data });
    await open("/users/hedy");
    await press("Delete token for scripts");
    await press("Delete token");
    await text("The user has no access tokens.");
    await press(/^End session/);
    await press("End session");
    await text("The user is signed in nowhere.");
    expect((await tab.request.get(`${web.instance.url}/api/v1/session`)).status()).toBe(401);
    await tab.context().close();
  });

  it("changes the own password, and creates and deletes an own access token", async () => {
    const tab = await signIn("alan");
    await open("/jobs", tab);
    await press("Session", tab);
    await tab.getByRole("menuitem", { name: "Account" }).click();
    await tab.getByLabel("Current password").fill("not my password");
    await tab.getByLabel("New password").fill(`${password} two`);
    await press("Change password", tab);
    await text("This is not your password.", tab);
    await tab.getByLabel("Current password").fill(password);
    await tab.getByLabel("New password").fill("password1234");
    await press("Change password", tab);
    await tab.getByText("is one of the most common passwords").waitFor();
    await tab.getByLabel("New password").fill(`${password} two`);
    await press("Change password", tab);
    await tab.getByRole("button", { name: "Changed" }).waitFor();
    await press("New access token", tab);
    await tab.getByRole("textbox", { name: "Name" }).fill("for scripts");
    await tab.getByRole("checkbox", { name: "jobs" }).check();
    await press("Create token", tab);
    const token = (await tab.getByRole("region", { name: "Token", exact: true }).textContent()) ?? "";
    expect(token).toMatch(/^airlock_pat_/);
    await press("Done", tab);
    await tab.getByText(/^read, jobs/).waitFor();
    const bearer = { headers: { authorization: `Bearer ${token}` } };
    expect((await fetch(`${web.instance.url}/api/v1/jobs`, bearer)).status).toBe(200);
    await tab.evaluate(axe.source);
    const violations = await tab.evaluate(async () => {
      const { axe: checker } = window as unknown as { axe: typeof axe };
      const runOnly = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"];
      return (await checker.run(document, { runOnly })).violations.map(({ id }) => id);
    });
    expect(violations).toEqual([]);
    await press("Delete token for scripts", tab);
    await press("Delete token", tab);
    await tab.getByText(/^You have no access tokens/).waitFor();
    expect((await fetch(`${web.instance.url}/api/v1/jobs`, bearer)).status).toBe(401);
    await tab.context().close();
    await open("/account");
    await text("No account");
  });

  it("lets a member choose among the own namespaces for secrets and jobs", async () => {
    const tab = await signIn("barbara");
    await rest("POST", "/organizations", { name: "distributed" });
    await rest("PUT", "/organizations/distributed/members/barbara", { role: "owner" });
    await open("/secrets", tab);
    await tab.getByRole("button", { name: "New secret" }).first().click();
    await tab.getByRole("textbox", { name: "Name", exact: true }).fill("OF_BARBARA");
    await tab.getByRole("textbox", { name: "Value" }).fill("a-value-of-a-test");
    const choice = tab.getByRole("combobox", { name: "Namespace" });
    expect(await choice.getByRole("option").allTextContents()).toEqual(["barbara", "distributed"]);
    await press("Add secret", tab);
    await tab.getByRole("article", { name: "OF_BARBARA of namespace barbara" }).waitFor();
    await open("/submit", tab);
    expect(await tab.getByRole("combobox", { name: "Namespace" }).inputValue()).toBe("barbara");
    await tab.context().close();
  });

  it("explains why the last administrator keeps the role", async () => {
    const tab = await signIn("root-of-tests", "administrator");
    await open("/users/root-of-tests", tab);
    await press("Make a member", tab);
    await tab.getByRole("dialog").getByText("You can't give the role back to yourself").waitFor();
    await tab.getByRole("dialog").getByRole("button", { name: "Make a member" }).click();
    const alert = tab.getByRole("dialog").getByRole("alert");
    expect(await alert.textContent()).toContain("Make another user an administrator first.");
    await tab.context().close();
  });

  it("shows members no administration, and refuses the last owner's leave", async () => {
    const tab = await signIn("linus");
    await rest("POST", "/organizations", { name: "kernel" });
    await rest("PUT", "/organizations/kernel/members/linus", { role: "owner" });
    await open("/organizations", tab);
    await tab.getByRole("link", { name: "kernel" }).waitFor();
    expect(await tab.getByRole("row").count()).toBe(2);
    expect(await tab.getByText("Administration", { exact: true }).count()).toBe(0);
    expect(await tab.getByRole("link", { name: "Executors" }).count()).toBe(0);
    await open("/queues", tab);
    await tab.getByRole("link", { name: "default" }).waitFor();
    expect(await tab.getByRole("button", { name: /New queue|Settings/ }).count()).toBe(0);
    await open("/repositories", tab);
    await text("No repositories yet", tab);
    expect(await tab.getByLabel("Git URL").count()).toBe(0);
    await open("/organizations", tab);
    await tab.getByRole("link", { name: "kernel" }).waitFor();
    expect(await tab.getByRole("button", { name: "New organization" }).count()).toBe(0);
    await open("/users", tab);
    await text("Only for administrators", tab);
    await open("/organizations/team-blue", tab);
    await text("Organization not found", tab);
    await open("/organizations/kernel", tab);
    await press("Leave kernel", tab);
    await tab.getByRole("dialog").getByRole("button", { name: "Leave", exact: true }).click();
    await tab.getByRole("dialog").getByText("Make another member an owner first.").waitFor();
    await press("Stay", tab);
    await rest("PUT", "/organizations/kernel/members/ada", { role: "owner" });
    await press("Leave kernel", tab);
    await tab.getByRole("dialog").getByRole("button", { name: "Leave", exact: true }).click();
    await tab.waitForURL("**/organizations");
    await text("No organizations yet", tab);
    await tab.context().close();
  });

  it("confirms and refuses logins of command lines", async () => {
    await open("/connect");
    await text("No account");
    const tab = await signIn("kay");
    const begin = (host: string) =>
      rest("POST", "/command-line-logins", { host }) as Promise<{ secret: string; code: string; page: string }>;
    const login = await begin("laptop");
    await open(`/${login.page}`, tab);
    await text(login.code, tab);
    expect(await tab.getByRole("textbox", { name: "Name of the token" }).inputValue()).toBe("airlock on laptop");
    await tab.evaluate(axe.source);
    const violations = await tab.evaluate(async () => {
      const { axe: checker } = window as unknown as { axe: typeof axe };
      const runOnly = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"];
      return (await checker.run(document, { runOnly })).violations.map(({ id }) => id);
    });
    expect(violations).toEqual([]);
    await press("Confirm", tab);
    const confirmationCode = (await tab.getByTestId("confirmation-code").textContent()) ?? "";
    const { secret } = login;
    const { token } = (await rest("POST", "/command-line-logins/token", { secret, confirmationCode })) as {
      token: string;
    };
    expect(token).toMatch(/^airlock_pat_/);
    const other = await begin("attic");
    await open("/connect", tab);
    await tab.getByRole("textbox", { name: "Code" }).fill(other.code.replace("-", "").toLowerCase());
    await press("Next", tab);
    await press("Refuse", tab);
    await tab.getByText(/^The login was refused/).waitFor();
    await tab.reload();
    await text("This login can't be confirmed", tab);
    await tab.context().close();
  });

  it("creates, rotates and revokes an executor token", async () => {
    await open("/executor-tokens");
    await text("No executor tokens yet");
    await press("New token");
    await field("Name").fill("pool a");
    await press("Create token");
    const shown = page.getByRole("region", { name: "Token" });
    const token = (await shown.textContent()) ?? "";
    expect(token).toMatch(/^airlock_exec_/);
    await press("Done");
    const executor = new ScriptedExecutor({ ...web.instance, executorToken: token, name: "pool-a-1" });
    await executor.heartbeat();
    const id = await web.submit({});
    await executor.dequeue();
    await open("/executor-tokens");
    const uses = page.getByRole("list", { name: "Executors that used it in the last week" });
    expect(await uses.textContent()).toContain("pool-a-1");
    expect(await page.locator("body").textContent()).not.toContain(token);
    await press("Rotate pool a of queue default");
    await page.getByLabel("The old token").selectOption({ label: "stays valid for a week" });
    await press("Rotate token");
    await text("The old token stays valid for a week.");
    expect(await shown.textContent()).not.toBe(token);
    await press("Done");
    await page.getByText(/^replaced, ends/).waitFor();
    await page.getByRole("button", { name: "Revoke pool a of queue default" }).last().click();
    await press("Revoke token");
    await page.getByRole("link", { name: `Job ${id}` }).waitFor();
    await press("Done");
    await expect.poll(() => page.getByRole("article").count()).toBe(1);
  });

  it("filters the audit log by who, what and time, and shows mistakes at their fields", async () => {
    await open("/audit");
    await page.getByRole("cell", { name: /created an executor token: #\d+.*name: pool a/ }).waitFor();
    await page.getByLabel("What").selectOption({ label: "User: everything" });
    await expect.poll(() => new URL(page.url()).searchParams.get("action")).toBe("user");
    await page.getByRole("cell", { name: /created a user: grace/ }).waitFor();
    await expect.poll(() => page.getByRole("cell", { name: /executor token:/ }).count()).toBe(0);
    await field("Who").fill("linus");
    await press("Filter");
    await text("No entry matches");
    await page.goBack();
    await expect.poll(() => field("Who").inputValue()).toBe("");
    await page.goForward();
    await expect.poll(() => field("Who").inputValue()).toBe("linus");
    await press("Clear filters");
    await page.getByLabel("From", { exact: true }).fill("2100-01-01T00:00");
    await press("Filter");
    await text("No entry matches");
    await open("/audit?since=tomorrow&action=nothing");
    const wrong = page.locator('[aria-invalid="true"]');
    await page.getByLabel("From", { exact: true }).and(wrong).waitFor();
    await page.getByLabel("What").and(wrong).waitFor();
    const download = await page.request.get(`${web.instance.url}/api/v1/audit/export?action=member.set`);
    expect(await download.text()).toContain('"member.set"');
  });

  it("chooses who sees a repository", async () => {
    await rest("POST", "/repositories", { name: "team/hidden", url: "https://192.0.2.1/team/hidden.git" });
    await open("/repositories");
    await press(/visibility of team.hidden/);
    await page.getByRole("radio", { name: "Members of these organizations" }).check();
    await page.getByRole("combobox", { name: "Organizations" }).fill("not-there");
    await press("Save");
    await dialog().getByText('No organization named "not-there"').waitFor();
    const organizations = page.getByRole("combobox", { name: "Organizations" });
    await organizations.press("Backspace");
    await organizations.fill("team-blue");
    await press("Save");
    await text("Visible to team-blue");
    await open("/organizations/team-blue");
    await text("team/hidden");
  });
});
