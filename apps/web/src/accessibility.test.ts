import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { describeWithEngines, engines, InstanceProcess } from "@airlock/test-kit";
import axe from "axe-core";
import { type Browser, chromium, type Page } from "playwright-core";
import { build } from "vite";
import { afterAll, beforeAll, expect, it } from "vitest";
import { ScriptedExecutor } from "./testing/scripted-executor.ts";

const viewports = { wide: { width: 1280, height: 900 }, narrow: { width: 390, height: 844 } } as const;

interface Place {
  readonly name: string;
  readonly path: string;
  /** Brings the page into the state to examine. */
  readonly act?: (page: Page) => Promise<void>;
}

describeWithEngines(["chromium"], "every page of the web UI", () => {
  const suite = new AsyncDisposableStack();
  let instance: InstanceProcess;
  let browser: Browser;
  let empty: readonly Place[];
  let places: readonly Place[] | undefined;

  beforeAll(async () => {
    const directory = await mkdtemp(path.join(tmpdir(), "airlock-web-"));
    suite.defer(() => rm(directory, { recursive: true, force: true }));
    const web = path.join(directory, "dist");
    await build({
      root: path.resolve(import.meta.dirname, ".."),
      logLevel: "error",
      build: { outDir: web, emptyOutDir: true },
    });
    instance = suite.use(
      await InstanceProcess.start({
        dataDirectory: path.join(directory, "data"),
        env: { AIRLOCK_WEB_DIR: web, AIRLOCK_ALLOW_LOCAL_REPOSITORIES: "true" },
      }),
    );
    const executablePath = engines().chromium?.executablePath ?? "";
    const args = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"];
    browser = await chromium.launch({ executablePath, args });
    suite.defer(() => browser.close());
    const pages = ["jobs", "executors", "repositories", "secrets", "users", "executor-tokens"];
    empty = pages.map((page) => ({ name: `no ${page}`, path: `/${page}` }));
  }, 60_000);
  afterAll(() => suite.disposeAsync());

  async function api(method: string, route: string, body: object): Promise<{ id: number }> {
    const response = await fetch(`${instance.url}/api/v1${route}`, {
      method,
      headers: { authorization: `Bearer ${instance.administratorToken}`, "content-type": "application/json" },
      body: JSON.stringify(body),
    });
    if (!response.ok) throw new Error(`${route}: ${response.status} ${await response.text()}`);
    return response.status === 204 ? { id: 0 } : ((await response.json()) as { id: number });
  }
  const submit = async (more: object = {}) => {
    const steps = [
      { key: "install", image: "node:24", run: "npm ci", secrets: ["NPM_TOKEN"] },
      { key: "test", image: "node:24", run: "npm test" },
    ];
    return (await api("POST", "/jobs", { steps, ...more })).id;
  };

  /** Creates jobs in every state, and at least one of everything else. */
  async function fill(): Promise<readonly Place[]> {
    await api("PUT", "/secrets/NPM_TOKEN", { value: "value-of-a-token" });
    await api("PUT", "/secrets/DEPLOY_KEY", { value: "value-of-a-key", namespace: "team" });
    await api("POST", "/repositories", { name: "team/broken", url: "https://192.0.2.1/team/broken.git" });
    await api("POST", "/users", { name: "ada", displayName: "Ada Lovelace" });
    await api("POST", "/users", { name: "grace", role: "administrator" });
    await api("PATCH", "/users/ada", { disabled: true });
    await api("PUT", "/organizations/team/members/ada", { role: "owner" });
    await api("PUT", "/organizations/team/members/grace", { role: "viewer" });
    await api("PATCH", "/repositories/team%2Fbroken", { organizations: ["team"] });
    const { id: replaced } = await api("POST", "/executor-tokens", { name: "pool a", queue: "default" });
    await api("POST", `/executor-tokens/${replaced}/rotate`, {});
    const executor = new ScriptedExecutor({ ...instance, name: "build-01" });
    await executor.heartbeat();
    const failed = await submit({ namespace: "team", outputs: ["report/**"], diff: true, labels: {} });
    const job = await executor.dequeue();
    const fetched = await job.open("setup.git.fetch");
    await job.close(fetched, 0, 600);
    const entry = await job.open("step.oci.install");
    const colors = [30, 31, 32, 33, 34, 35, 36, 37, 90, 91, 92, 93, 94, 95, 96, 97];
    await job.print(entry, colors.map((code) => `\u001b[${code}mcolour ${code}\u001b[0m\n`).join(""));
    await job.print(entry, "careful\n", "stderr");
    await job.close(entry, 1);
    await job.upload("outputs.tar.gz", "file-archive", "x".repeat(5000));
    await job.upload(
      "workspace.diff",
      "diff",
      "diff --git a/a b/a\n--- a/a\n+++ b/a\n@@ -1 +1 @@ x\n-old\n+new\n same\n",
    );
    await job.fail("Step install exited with code 1; the egress policy denied tcp to 203.0.113.7 port 443", 1);
    const completed = await submit();
    await (await executor.dequeue()).complete();
    const canceled = await submit();
    await api("POST", `/jobs/${canceled}/cancel`, {});
    const running = await submit();
    const open = await executor.dequeue();
    await open.print(await open.open("step.oci.install"), "fetching\n");
    await executor.heartbeat([open]);
    const stuck = await submit({ labels: { gpu: "a100" } });
    const press = (name: string | RegExp) => async (page: Page) => {
      await page.getByRole("button", { name }).first().click();
    };
    const dialog = (name: string | RegExp) => async (page: Page) => {
      await press(name)(page);
      await page.getByRole("dialog").waitFor();
    };
    return [
      { name: "jobs", path: "/jobs" },
      { name: "filtered jobs", path: "/jobs?state=queued&namespace=team&queue=default" },
      {
        name: "a failed job",
        path: `/jobs/${failed}`,
        act: async (page) => {
          await press("Definition")(page);
          await press("Show the files")(page);
          await press("Show the diff")(page);
          await page.getByText(/content can't be listed/).waitFor();
          await page.getByRole("region", { name: "Workspace diff" }).waitFor();
        },
      },
      { name: "a completed job", path: `/jobs/${completed}` },
      { name: "a canceled job", path: `/jobs/${canceled}` },
      { name: "a running job", path: `/jobs/${running}` },
      { name: "the question before a job is canceled", path: `/jobs/${running}`, act: dialog("Cancel job") },
      { name: "a job that nobody can run", path: `/jobs/${stuck}` },
      { name: "a job that is not there", path: "/jobs/99999" },
      { name: "executors", path: "/executors" },
      { name: "queues", path: "/queues" },
      { name: "a new queue", path: "/queues", act: dialog("New queue") },
      { name: "a queue's settings", path: "/queues", act: dialog(/^Settings of/) },
      { name: "repositories", path: "/repositories" },
      { name: "secrets", path: "/secrets" },
      { name: "a new secret", path: "/secrets", act: dialog("New secret") },
      { name: "the question before a secret is deleted", path: "/secrets", act: dialog(/^Delete/) },
      {
        name: "the record of secrets",
        path: "/secrets",
        act: async (page) => {
          await page.getByRole("tab", { name: "Record" }).click();
          await page.getByRole("listitem").first().waitFor();
        },
      },
      { name: "organizations", path: "/organizations" },
      { name: "a new organization", path: "/organizations", act: dialog("New organization") },
      { name: "an organization", path: "/organizations/team" },
      { name: "the question before a member is removed", path: "/organizations/team", act: dialog("Remove ada") },
      {
        name: "a member that can't be added",
        path: "/organizations/team",
        act: async (page) => {
          await page.getByRole("textbox", { name: "User name" }).fill("nobody-here");
          await press("Add")(page);
          await page.getByText(/^No user named/).waitFor();
        },
      },
      { name: "who sees a repository", path: "/repositories", act: dialog(/visibility of/) },
      { name: "users", path: "/users" },
      { name: "no user that matches", path: "/users?text=zzz" },
      { name: "a new user", path: "/users", act: dialog("New user") },
      { name: "a disabled user", path: "/users/ada" },
      { name: "a one-time link", path: "/users/grace", act: dialog("Create one-time link") },
      { name: "the question before a user is disabled", path: "/users/grace", act: dialog("Disable user") },
      { name: "executor tokens", path: "/executor-tokens" },
      { name: "a new executor token", path: "/executor-tokens", act: dialog("New token") },
      { name: "the question before a token is rotated", path: "/executor-tokens", act: dialog(/^Rotate/) },
      { name: "the account of the administrator's token", path: "/account" },
      { name: "the audit log", path: "/audit" },
      { name: "no entry of the audit log that matches", path: "/audit?actor=nobody-here" },
      { name: "a new job", path: "/submit" },
      { name: "a new job like another", path: `/submit?from=${failed}` },
      {
        name: "a new job with mistakes",
        path: "/submit",
        act: async (page) => {
          await press("Submit job")(page);
          await page.getByText(/^\d fields need a correction/).waitFor();
        },
      },
      { name: "the login of users", path: "/login" },
      { name: "the login with the token", path: "/login", act: press("Use the administrator's token") },
      { name: "a page that is not there", path: "/nowhere" },
    ];
  }

  /** Accessibility violations by page, in one colour scheme and viewport size. */
  async function violations(
    all: readonly Place[],
    colorScheme: "light" | "dark",
    viewport: { readonly width: number; readonly height: number },
    login = true,
  ): Promise<Record<string, string[]>> {
    const context = await browser.newContext({ colorScheme, viewport, reducedMotion: "reduce" });
    context.setDefaultTimeout(30_000);
    const page = await context.newPage();
    if (login) {
      await page.goto(`${instance.url}/login#token=${instance.administratorToken}`);
      await page.waitForURL("**/jobs");
    }
    const found: Record<string, string[]> = {};
    for (const place of all) {
      await page.goto(instance.url + place.path);
      await page.getByRole("heading", { level: 1 }).waitFor();
      await expect.poll(() => page.getByLabel("Loading").count()).toBe(0);
      await place.act?.(page);
      // Dialogs fade in even with reduced motion, and axe measures colours as they are. Wait until animations end.
      await page.evaluate(() =>
        Promise.all(
          document
            .getAnimations()
            .map((each) =>
              each.playState === "running" && each.effect?.getTiming().iterations !== Number.POSITIVE_INFINITY
                ? each.finished
                : null,
            ),
        ),
      );
      await page.evaluate(axe.source);
      const results = await page.evaluate(async () => {
        const { axe: checker } = window as unknown as { axe: typeof axe };
        const runOnly = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"];
        return (await checker.run(document, { runOnly, resultTypes: ["violations"] })).violations;
      });
      const words = results.flatMap(({ id, nodes }) =>
        nodes.slice(0, 5).map((node) => `${id} at ${node.target.join(" ")}: ${node.failureSummary ?? ""}`),
      );
      if (words.length > 0) found[place.name] = words;
    }
    await context.close();
    return found;
  }

  it("meets the accessibility rules on an empty instance and at the login", async () => {
    for (const colorScheme of ["light", "dark"] as const) {
      expect(await violations(empty, colorScheme, viewports.wide)).toEqual({});
      const login = [
        { name: "login", path: "/login" },
        { name: "the first administrator", path: "/setup" },
        { name: "a one-time link without its token", path: "/password" },
        { name: "a one-time link", path: "/password#token=x" },
      ];
      expect(await violations(login, colorScheme, viewports.narrow, false)).toEqual({});
    }
  }, 60_000);

  it.each([
    ["dark", "wide"],
    ["light", "wide"],
    ["light", "narrow"],
  ] as const)(
    "meets the accessibility rules, %s and %s",
    async (colorScheme, size) => {
      places ??= await fill();
      expect(await violations(places, colorScheme, viewports[size])).toEqual({});
    },
    120_000,
  );
});
