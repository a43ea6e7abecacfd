import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import { describeWithEngines, engines, InstanceProcess } from "@airlock/test-kit";
import { type Browser, type BrowserContext, chromium, type Page } from "playwright-core";
import { build } from "vite";
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from "vitest";
import { ScriptedExecutor, type ScriptedJob } from "./testing/scripted-executor.ts";
import { startSeverableProxy } from "./testing/severable-proxy.ts";

const run = promisify(execFile);

const browserFlags = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

describeWithEngines(["chromium"], "the web UI in a browser", () => {
  const suite = new AsyncDisposableStack();
  let instance: InstanceProcess;
  let browser: Browser;
  let context: BrowserContext;
  let page: Page;
  let executor: ScriptedExecutor;
  let repository: string;
  /** Errors that the page logged, including violations of its content security policy. */
  let complaints: string[];

  beforeAll(async () => {
    const directory = await mkdtemp(path.join(tmpdir(), "airlock-web-"));
    suite.defer(() => rm(directory, { recursive: true, force: true }));
    const web = path.join(directory, "dist");
    const root = path.resolve(import.meta.dirname, "..");
    await build({ root, logLevel: "error", build: { outDir: web, emptyOutDir: true } });
    repository = await createRepository(path.join(directory, "widgets"));
    instance = suite.use(
      await InstanceProcess.start({
        dataDirectory: path.join(directory, "data"),
        env: { AIRLOCK_WEB_DIR: web, AIRLOCK_ALLOW_LOCAL_REPOSITORIES: "true" },
      }),
    );
    // The scripted executor sends no heartbeats during a test.
    await instance.rest("PATCH", "/queues/default", { leaseMs: 600_000 });
    executor = new ScriptedExecutor({ ...instance, name: "build-01" });
    const executablePath = engines().chromium?.executablePath ?? "";
    browser = await chromium.launch({ executablePath, args: browserFlags });
    suite.defer(() => browser.close());
    context = await newContext();
    page = await context.newPage();
    await page.goto(`${instance.url}/login#token=${instance.administratorToken}`);
    await page.waitForURL("**/jobs");
  });

  afterAll(() => suite.disposeAsync());

  beforeEach(() => {
    complaints = [];
  });

  afterEach(() => {
    expect(complaints).toEqual([]);
  });

  async function newContext(options: Parameters<Browser["newContext"]>[0] = {}): Promise<BrowserContext> {
    const made = await browser.newContext({ acceptDownloads: true, ...options });
    made.setDefaultTimeout(30_000);
    made.on("weberror", (error) => complaints.push(String(error.error())));
    made.on("console", (message) => {
      // The browser logs every refused request. Tests check how the page handles them instead.
      if (message.type() === "error" && !message.text().startsWith("Failed to load resource")) {
        complaints.push(message.text());
      }
    });
    return made;
  }

  const text = (label: string) => page.getByText(label, { exact: true });
  const log = () => page.getByRole("log", { name: "Output" });
  /** The lines currently rendered. */
  const lines = () => log().locator("[data-index]").allTextContents();
  const following = () => log().getAttribute("data-following");

  async function submit(spec: Record<string, unknown>): Promise<number> {
    const response = await fetch(`${instance.url}/api/v1/jobs`, {
      method: "POST",
      headers: { authorization: `Bearer ${instance.administratorToken}`, "content-type": "application/json" },
      body: JSON.stringify({ steps: [{ key: "test", image: "alpine:3", run: "true" }], ...spec }),
    });
    expect(response.status).toBe(201);
    return ((await response.json()) as { id: number }).id;
  }

  const downloadHref = async () =>
    (await page.getByRole("link", { name: "Download the log" }).getAttribute("href")) ?? "";

  /** Starts a job with one open step. */
  async function startJob(): Promise<{ job: ScriptedJob; entry: number }> {
    await submit({});
    const job = await executor.dequeue();
    return { job, entry: await job.open("step.oci.test") };
  }

  it("logs in by link, removes the token from the address and the history, and opens the requested page", async () => {
    const visitor = await newContext();
    const tab = await visitor.newPage();
    await tab.goto(`${instance.url}/executors`);
    await tab.waitForURL("**/login?next=%2Fexecutors");
    await tab.getByRole("textbox", { name: "Token" }).fill("not-the-token-but-long-enough");
    await tab.getByRole("button", { name: "Log in" }).click();
    await tab.getByText("This token is not valid.").waitFor();
    await tab.goto(`${instance.url}/login#token=an-old-token-of-this-instance`);
    await tab.getByText("This token is not valid.").waitFor();
    expect(tab.url()).toBe(`${instance.url}/login`);
    await tab.goto(`${instance.url}/login?next=%2Fexecutors#token=${instance.administratorToken}`);
    await tab.waitForURL("**/executors");
    await tab.goBack();
    await tab.getByRole("button", { name: "Log in" }).waitFor();
    expect(tab.url()).not.toContain(instance.administratorToken);
    expect(await tab.evaluate(() => JSON.stringify(history.state) + document.cookie)).not.toContain("token");
    await visitor.close();
  });

  it("explains the first steps on an empty instance", async () => {
    await page.goto(`${instance.url}/jobs`);
    await text("No jobs yet").waitFor();
    expect(await page.getByRole("main").textContent()).toContain("airlock job submit");
    await page.goto(`${instance.url}/executors`);
    await text("No executor has reported yet").waitFor();
    expect(await page.getByRole("main").textContent()).toContain(`EXECUTOR_FRONTEND_URL=${instance.url}`);
  });

  it("adds a repository and explains what is wrong with an invalid one", async () => {
    await page.goto(`${instance.url}/repositories`);
    await page.getByLabel("Git URL").fill(repository);
    await page.getByLabel("Name", { exact: true }).fill("-bad-");
    await page.getByRole("button", { name: "Add" }).click();
    await page.getByText(/path segments of letters/).waitFor();
    await page.getByLabel("Name", { exact: true }).fill("acme/widgets");
    await page.getByRole("button", { name: "Add" }).click();
    await page.getByRole("article", { name: "acme/widgets" }).getByText("Ready").waitFor();
  });

  it("submits a job by form and shows the instance's errors at their fields", async () => {
    await page.goto(`${instance.url}/submit?repository=acme%2Fwidgets`);
    await page.getByRole("button", { name: "Submit job" }).click();
    await page.getByText("2 fields need a correction.").waitFor();
    await page.getByLabel("Image").fill("alpine:3");
    await page.getByLabel("Script").fill("make test");
    await page.getByLabel("Revision").fill("no-such-branch");
    await page.getByRole("button", { name: "Submit job" }).click();
    const revision = page.getByLabel("Revision");
    await eventually(() => revision.getAttribute("aria-invalid")).toBe("true");
    await revision.fill("main");
    expect(await page.getByRole("region", { name: "Command" }).textContent()).toContain("--rev main");
    await page.getByRole("button", { name: "Add a step" }).click();
    await page.getByRole("group", { name: "Step 2" }).getByLabel("Script").fill("make build");
    expect(await page.getByRole("region", { name: "Job file" }).textContent()).toContain("    run: make build");
    await page.getByRole("button", { name: "Submit job" }).click();
    await page.waitForURL(/\/jobs\/\d+$/);
    await page.getByTestId("explanation").waitFor();
    await eventually(() => page.title()).toMatch(/^#\d+ queued · airlock$/);
    const job = await executor.dequeue();
    await eventually(() => page.title()).toBe(`#${job.id} running · airlock`);
    await job.complete();
    await eventually(() => page.title()).toBe(`#${job.id} completed · airlock`);
  });

  it("updates the list of jobs automatically", async () => {
    await page.goto(`${instance.url}/jobs`);
    await text("Live").waitFor();
    await page.evaluate(() => Object.assign(window, { notReloaded: true }));
    const id = await submit({ queue: "default" });
    const row = page.locator(`[data-job="${id}"]`);
    await row.getByText("Queued").waitFor();
    const job = await executor.dequeue();
    await row.getByText("Running").waitFor();
    await job.complete();
    await row.getByText("Completed").waitFor();
    expect(await page.evaluate(() => "notReloaded" in window)).toBe(true);
    await page.getByRole("button", { name: "Queued" }).click();
    await page.waitForURL("**/jobs?state=queued");
    await row.waitFor({ state: "detached" });
  });

  it("shows output as it is printed, in colour and with standard error marked, without a reload", async () => {
    const { job, entry } = await startJob();
    await page.goto(`${instance.url}/jobs/${job.id}`);
    await page.getByText("Waiting for output…").waitFor();
    await job.print(entry, "\u001b[31mred\u001b[0m and plain\n 10%\r 50%\r100%\n");
    await job.print(entry, "careful\n", "stderr");
    await eventually(lines).toEqual(["red and plain", "100%", "careful"]);
    const color = (name: string) =>
      page.getByText(name, { exact: true }).evaluate((element) => getComputedStyle(element).color);
    expect(await color("red")).not.toBe(await color(" and plain"));
    expect(await page.locator("[data-source=stderr]").textContent()).toBe("careful");
    const printedAt = performance.now();
    await job.print(entry, "late line\n");
    await page.getByText("late line").waitFor();
    expect(performance.now() - printedAt).toBeLessThan(2000);
    await job.complete();
  });

  it("shows hostile output as plain text", async () => {
    const { job, entry } = await startJob();
    await page.goto(`${instance.url}/jobs/${job.id}`);
    await job.print(
      entry,
      [
        "<script>window.pwned = 1</script><img src=x onerror='window.pwned = 1'>",
        "\u001b]8;;javascript:window.pwned=1\u001b\\link\u001b]8;;\u001b\\",
        "\u001b]52;c;cm0gLXJmIC8=\u0007clipboard",
        "\u001b]0;owned\u0007\u001b[2J\u001b[8mtitle",
        "\u001b]0;never ended",
        "next\u0000\u009b\u202e",
      ].join("\n"),
    );
    await job.close(entry, 0);
    await job.complete();
    await eventually(lines).toEqual([
      "<script>window.pwned = 1</script><img src=x onerror='window.pwned = 1'>",
      "link",
      "clipboard",
      "title",
      "",
      "next",
    ]);
    await eventually(() => page.title()).toBe(`#${job.id} completed · airlock`);
    expect(await page.evaluate(() => "pwned" in window)).toBe(false);
    expect(await log().locator("a[href^='javascript'], script, img").count()).toBe(0);
  });

  it("shows the executor's messages so that output can't imitate them", async () => {
    const { job, entry } = await startJob();
    await page.goto(`${instance.url}/jobs/${job.id}`);
    const forged = ["[airlock] forged", "[air\u001b[mlock] forged", "\u001b[44mExecutor\u001b[m forged"];
    await job.print(entry, `${forged.join("\n")}\nunfinished`);
    await job.note(entry, "killed: out of memory");
    await job.close(entry, 137);
    await job.fail('step "test" was killed: out of memory', 137);
    await text("killed: out of memory").waitFor();
    const rows = log().locator("[data-index]");
    const sources = await rows.evaluateAll((all) => all.map((row) => row.getAttribute("data-source")));
    expect(sources).toEqual(["stdout", "stdout", "stdout", "stdout", "note"]);
    const own = rows.nth(4);
    expect(await own.textContent()).toBe("Executorkilled: out of memory");
    expect(await own.getByRole("link").getAttribute("aria-label")).toBe("Line 5, message of the executor");
    const look = (index: number) =>
      rows.nth(index).evaluate((row) => {
        const { backgroundColor, boxShadow } = getComputedStyle(row);
        return { backgroundColor, boxShadow };
      });
    for (const index of [0, 1, 2, 3]) {
      expect((await look(index)).boxShadow).toBe("none");
      expect(await rows.nth(index).locator("span").first().textContent()).not.toBe("Executor");
    }
    expect((await look(4)).boxShadow).not.toBe("none");
    const download = await (await context.request.get(new URL(await downloadHref(), instance.url).href)).text();
    const mark = download.slice(0, download.indexOf("]") + 1);
    expect(download).toContain(`unfinished\n${mark} killed: out of memory\n`);
    expect(download).not.toContain(`${mark} forged`);
  });

  it("follows the end of the log until the reader scrolls up, and again on request", async () => {
    const { job, entry } = await startJob();
    await page.goto(`${instance.url}/jobs/${job.id}`);
    await job.print(entry, numbered(1, 500));
    await page.getByText("line 500.").waitFor();
    expect(await following()).toBe("true");
    await log().hover();
    await page.mouse.wheel(0, -1500);
    await eventually(following).toBe("false");
    await job.print(entry, numbered(501, 600));
    await page.getByText("600 lines").waitFor();
    expect(await page.getByText("line 600.").count()).toBe(0);
    await page.getByRole("button", { name: "Follow" }).click();
    await page.getByText("line 600.").waitFor();
    await job.print(entry, numbered(601, 650));
    await page.getByText("line 650.").waitFor();
    await job.close(entry, 0);
    await job.complete();
  });

  it("searches the log, steps through the matches and links to a line", async () => {
    const { job, entry } = await startJob();
    await job.print(entry, numbered(1, 3000).replace("line 17.", "line 17. NEEDLE").replace("line 2900.", "needle"));
    await job.close(entry, 0);
    await job.complete();
    await page.goto(`${instance.url}/jobs/${job.id}`);
    await page.getByText("line 1.", { exact: true }).waitFor();
    await page.keyboard.press("/");
    await page.keyboard.type("needle");
    const count = page.getByTestId("match-count");
    await eventually(() => count.textContent()).toBe("1 of 2");
    await page.keyboard.press("Enter");
    await eventually(() => count.textContent()).toBe("2 of 2");
    await page.locator("[data-current-match]", { hasText: "needle" }).waitFor();
    await page.getByRole("link", { name: "Line 2900" }).click();
    await page.waitForURL(`**/jobs/${job.id}?attempt=1&entry=${entry}#L2900`);
    await page.reload();
    await page.getByRole("link", { name: "Line 2900" }).waitFor();
    expect(await page.getByRole("link", { name: "Line 2900" }).isVisible()).toBe(true);
  });

  it("downloads the log as it was printed", async () => {
    const { job, entry } = await startJob();
    const printed = "\u001b[32mgreen\u001b[0m\n";
    await job.print(entry, printed);
    await job.close(entry, 0);
    await job.complete();
    await page.goto(`${instance.url}/jobs/${job.id}`);
    const [download] = await Promise.all([
      page.waitForEvent("download"),
      page.getByRole("link", { name: "Download the log" }).click(),
    ]);
    expect(download.suggestedFilename()).toBe(`job-${job.id}-attempt-1-test.log`);
    const [heading, key, ...rest] = (await readFile(await download.path(), "utf8")).split("\n");
    expect(heading).toMatch(/^\[airlock [0-9a-f]{16}\] Log of job \d+, attempt 1\./);
    expect(key).toMatch(/ ==> step\.oci\.test <==$/);
    expect(rest.join("\n")).toBe(printed);
  });

  it("shows a job's results: files to download, and its diff as text", async () => {
    const { job, entry } = await startJob();
    const diff = [
      "diff --git a/src/app.ts b/src/app.ts",
      "index 83db48f..bf2a5c6 100644",
      "--- a/src/app.ts",
      "+++ b/src/app.ts",
      "@@ -1,4 +1,5 @@ export function greet(name: string) {",
      " export function greet(name: string) {",
      '-  return "Hello " + name;',
      "+  <img src=x onerror='window.pwned = 1'>",
      "+  return greeting + name; // \u202eevil",
      " }",
      " // the end",
      "",
    ].join("\n");
    await job.upload("outputs.tar.gz", "file-archive", "x".repeat(48_200));
    await job.upload("workspace.diff", "diff", diff);
    await job.close(entry, 0);
    await job.complete();
    await page.goto(`${instance.url}/jobs/${job.id}`);
    await page.getByRole("button", { name: "Show the diff" }).click();
    const shown = page.getByRole("region", { name: "Workspace diff" });
    await shown.getByText("return greeting + name; // \\u{202e}evil").waitFor();
    expect(await shown.locator("[data-kind=added]").count()).toBe(2);
    expect(await shown.locator("img").count()).toBe(0);
    const [download] = await Promise.all([
      page.waitForEvent("download"),
      page.getByRole("link", { name: "Download workspace.diff" }).click(),
    ]);
    expect(download.suggestedFilename()).toBe(`job-${job.id}-attempt-1-workspace.diff`);
    expect(await readFile(await download.path(), "utf8")).toBe(diff);
  });

  it("stays responsive with half a million lines and a line of many megabytes", async () => {
    const { job, entry } = await startJob();
    await job.print(entry, `${"x".repeat(5_000_000)}\n`);
    for (let block = 0; block < 10; block += 1)
      await job.print(entry, numbered(block * 50_000 + 1, block * 50_000 + 50_000));
    await job.close(entry, 0);
    await job.complete();
    await page.goto(`${instance.url}/jobs/${job.id}`);
    await page.getByText("more characters: see the download").waitFor();
    await page.getByText("500,001 lines").waitFor({ timeout: 30_000 });
    await page.getByRole("button", { name: "Jump to end" }).click();
    await page.getByText("line 500000.").waitFor();
    expect(await log().locator("[data-index]").count()).toBeLessThan(200);
    await page.getByLabel("Search in the log").fill("line 123456.");
    await page.getByText("line 123456.").waitFor();
  }, 90_000);

  it("cancels a running job after asking", async () => {
    const { job, entry } = await startJob();
    await page.goto(`${instance.url}/jobs/${job.id}`);
    await page.getByRole("button", { name: "Cancel job" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Cancel job" }).click();
    await page.getByText("Canceling", { exact: true }).waitFor();
    expect(await executor.heartbeat([job])).toEqual([String(job.id)]);
    await job.close(entry, -1);
    await job.fail("canceled", 1);
    await eventually(() => page.title()).toBe(`#${job.id} canceled · airlock`);
  });

  it("shows what failed and why, and can run the job again", async () => {
    const { job, entry } = await startJob();
    await job.print(entry, "first attempt\n");
    await job.close(entry, 3);
    await job.fail("Step test exited with code 3.", 3);
    await page.goto(`${instance.url}/jobs/${job.id}`);
    await page.getByRole("alert").getByText("“test” exited with code 3").waitFor();
    await eventually(lines).toEqual(["first attempt"]);
    await page.getByRole("button", { name: "Retry" }).click();
    await eventually(() => page.title()).toBe(`#${job.id} queued · airlock`);
    const again = await executor.dequeue();
    expect(again).toMatchObject({ id: job.id, attempt: 2 });
    await again.print(await again.open("step.oci.test"), "second attempt\n");
    await eventually(lines).toEqual(["second attempt"]);
    await page.getByRole("combobox", { name: "Attempt" }).click();
    await page.getByRole("option", { name: "Attempt 1 · failed" }).click();
    await eventually(lines).toEqual(["first attempt"]);
    await again.complete();
  });

  it("neither loses nor repeats output when the connection breaks in the middle of a log", async () => {
    await using proxy = await startSeverableProxy(instance.url);
    const { job, entry } = await startJob();
    await page.goto(`${proxy.url}/jobs/${job.id}`);
    await job.print(entry, numbered(1, 100));
    await page.getByText("line 100.").waitFor();
    proxy.sever();
    await page.getByText("Reconnecting…").waitFor();
    await job.print(entry, numbered(101, 200));
    proxy.restore();
    await page.getByText("line 200.").waitFor();
    await page.getByText("200 lines").waitFor();
    await job.complete();
  });

  it("shows executors with their jobs, versions and system", async () => {
    const { job } = await startJob();
    await executor.heartbeat([job]);
    await page.goto(`${instance.url}/executors`);
    const card = page.getByRole("article", { name: "build-01" });
    await card.getByText("Active").waitFor();
    await card.getByRole("link", { name: `#${job.id}` }).waitFor();
    expect(await card.textContent()).toContain("oci crun 1.19");
    expect(await card.textContent()).toContain("linux/amd64");
    await job.complete();
    await card.getByText("0 of 2 in use").waitFor();
  });

  it("drains and resumes an executor with only the keyboard", async () => {
    await executor.heartbeat();
    await page.goto(`${instance.url}/executors`);
    const card = page.getByRole("article", { name: "build-01" });
    await card.getByRole("button", { name: "Drain build-01" }).press("Enter");
    await page.getByRole("dialog").getByRole("button", { name: "Drain" }).press("Enter");
    await card.getByText("Drained").waitFor();
    await card.getByRole("button", { name: "Resume build-01" }).press("Enter");
    await card.getByText("Active").waitFor();
    await card.getByRole("button", { name: "Drain build-01" }).waitFor();
  });

  it("shows an executor without Airlock's extensions, and why it does not get a job", async () => {
    const headers = {
      authorization: `token-executor ${instance.executorToken}`,
      "content-type": "application/json",
    };
    const foreign = {
      executorName: "foreign-1",
      version: "V2",
      jobIds: [],
      os: "linux",
      architecture: "amd64",
      executorVersion: "5.3.0",
      gitVersion: "2.43.0",
      dockerVersion: "24.0.5",
    };
    const body = JSON.stringify(foreign);
    await fetch(`${instance.url}/.executors/queue/batches/heartbeat`, { method: "POST", headers, body });
    await page.goto(`${instance.url}/executors`);
    const card = page.getByRole("article", { name: "foreign-1" });
    await card.getByText("0 of an unknown number in use").waitFor();
    await page.getByText(/^\d+ of \d+ active · \d+ jobs? running\b/).waitFor();
    for (const fact of ["linux/amd64", "executor 5.3.0", "git 2.43.0", "docker 24.0.5", "base protocol"]) {
      expect(await card.textContent()).toContain(fact);
    }
    const id = await submit({ queue: "batches", egress: "none" });
    await page.goto(`${instance.url}/jobs/${id}`);
    await page.getByText('No executor of queue "batches" supports egress.').waitFor();
    await page.goto(`${instance.url}/queues`);
    await page.getByRole("button", { name: "Settings of batches" }).click();
    await page.getByRole("checkbox", { name: "May take jobs of which they ignore a part" }).check();
    await page.getByRole("button", { name: "Save" }).click();
    await page.getByRole("dialog").waitFor({ state: "hidden" });
    await page.getByText("executors may ignore limits and egress").waitFor();
    await page.goto(`${instance.url}/jobs/${id}`);
    await page.getByText("Waiting to be taken, first in line: 1 executor connected.").waitFor();
  });

  it("shows the number of a queue's jobs", async () => {
    await submit({ queue: "default" });
    await page.goto(`${instance.url}/queues`);
    await page.getByRole("row", { name: /^default 1 0 / }).waitFor();
    await (await executor.dequeue()).complete();
    await page.getByRole("row", { name: /^default 0 0 none waits/ }).waitFor();
  });

  it("adds a queue, changes its settings, and explains what is wrong with an invalid one", async () => {
    await page.goto(`${instance.url}/queues`);
    await page.getByRole("button", { name: "New queue" }).click();
    await page.getByRole("textbox", { name: "Name", exact: true }).fill("Indexers!");
    await page.getByRole("textbox", { name: "Lease" }).fill("soon");
    await page.getByRole("button", { name: "Add queue" }).click();
    await page.getByText("must be a duration such as 15s or 5m").waitFor();
    await page.getByRole("textbox", { name: "Name", exact: true }).fill("indexers");
    await page.getByRole("textbox", { name: "Lease" }).fill("30s");
    await page.getByRole("button", { name: "Add queue" }).click();
    await page.getByRole("row", { name: /^indexers 0 0 none waits none up to 3 30s/ }).waitFor();
    await page.getByRole("button", { name: "Settings of indexers" }).click();
    await page.getByRole("textbox", { name: "Running jobs", exact: true }).fill("2");
    await page.getByRole("button", { name: "Save" }).click();
    await page.getByRole("row", { name: /^indexers 0 0 none waits 2 at once up to 3 30s/ }).waitFor();
  });

  it("leads to the setting of a queue that is wrong, where the window shows only a part of the dialog", async () => {
    for (const size of [
      { width: 390, height: 844 },
      { width: 1280, height: 720 },
    ]) {
      const visitor = await newContext({ storageState: await context.storageState(), viewport: size });
      const tab = await visitor.newPage();
      await tab.goto(`${instance.url}/queues`);
      await tab.getByRole("button", { name: "Settings of default" }).click();
      const wait = tab.getByRole("textbox", { name: "Longest wait" });
      for (const wrong of ["banana", "1ms"]) {
        await wait.fill(wrong);
        await tab.getByRole("checkbox").focus();
        await tab.getByRole("button", { name: "Save" }).click();
        await expect.poll(() => wait.evaluate((input) => document.activeElement === input)).toBe(true);
        const place = await wait.boundingBox();
        expect(place?.y).toBeGreaterThan(100);
        expect(place?.y).toBeLessThan(size.height - 100);
      }
      await visitor.close();
    }
  });

  it("sets a queue's maximum wait, and shows why a job failed that no executor took", async () => {
    await instance.rest("POST", "/queues", { name: "impatient" });
    await page.goto(`${instance.url}/queues`);
    await page.getByRole("button", { name: "Settings of impatient" }).click();
    await page.getByRole("textbox", { name: "Longest wait" }).fill("366d");
    await page.getByRole("button", { name: "Save" }).click();
    await page.getByText("Too big").waitFor();
    await page.getByRole("textbox", { name: "Longest wait" }).fill("2s");
    await page.getByRole("button", { name: "Save" }).click();
    await page.getByRole("row", { name: /^impatient .* 2s/ }).waitFor();
    const id = await submit({ queue: "impatient" });
    await page.goto(`${instance.url}/jobs/${id}`);
    await page.getByText("No executor took the job in time").waitFor();
    const reason = page
      .getByRole("alert")
      .getByText(/within 2\.0s, its queue's maximum waiting time: No executor is connected to/);
    await reason.waitFor();
  });

  it("adds, replaces and deletes a secret by keyboard, and never shows its value again", async () => {
    await page.goto(`${instance.url}/jobs`);
    await page.getByRole("heading", { name: "Jobs", exact: true }).waitFor();
    await page.keyboard.press("g");
    await page.keyboard.press("s");
    await page.getByText("No secrets yet").waitFor();
    await page.getByRole("button", { name: "New secret" }).focus();
    await page.keyboard.press("Enter");
    const dialog = page.getByRole("dialog", { name: "New secret" });
    await dialog.waitFor();
    await eventually(() => page.evaluate(() => document.activeElement?.getAttribute("data-autofocus"))).toBe("true");
    await page.keyboard.type("web_token");
    await dialog.getByRole("textbox", { name: "Namespace" }).fill("Not A Namespace");
    await dialog.getByRole("textbox", { name: "Value" }).fill("value-of-the-browser");
    await dialog.getByRole("button", { name: "Add secret" }).click();
    await dialog.getByText("lower-case letters").waitFor();
    await dialog.getByRole("textbox", { name: "Namespace" }).fill("team");
    await dialog.getByRole("button", { name: "Add secret" }).click();
    const card = page.getByRole("article", { name: "WEB_TOKEN of namespace team" });
    await card.waitFor();
    await submit({
      namespace: "team",
      steps: [{ key: "use", image: "alpine:3", run: "true", secrets: ["WEB_TOKEN"] }],
    });
    const job = await executor.dequeue();
    await job.complete();

    await card.getByRole("button", { name: /^Replace/ }).press("Enter");
    await page.getByRole("dialog").getByRole("textbox", { name: "Value" }).fill("another-value");
    await page.getByRole("dialog").getByRole("button", { name: "Replace" }).click();
    await page.getByRole("dialog").waitFor({ state: "detached" });
    await card.getByText(/^used/).waitFor();
    await card.getByRole("button", { name: /^Delete/ }).press("Enter");
    await page.getByRole("dialog").getByRole("button", { name: "Delete secret" }).click();
    await page.getByText("No secrets yet").waitFor();
    await page.getByRole("tab", { name: "Record" }).click();
    await eventually(() => page.getByRole("listitem").count()).toBe(4);
    expect(await page.getByRole("listitem").allInnerTexts()).toEqual([
      expect.stringContaining("deleted"),
      expect.stringContaining("changed"),
      expect.stringMatching(/used[\s\S]*WEB_TOKEN \(namespace team\) in step use of job \d+, attempt 1, on build-01/),
      expect.stringMatching(/created[\s\S]*by administrator in the web UI/),
    ]);
    expect(await page.content()).not.toMatch(/value-of-the-browser|another-value/);
  });

  it("fits on a phone and can be used by keyboard", async () => {
    const phone = await newContext({
      viewport: { width: 360, height: 740 },
      storageState: await context.storageState(),
    });
    const tab = await phone.newPage();
    const { job, entry } = await startJob();
    await job.print(entry, `${"a long line ".repeat(100)}\n`);
    await job.complete();
    for (const address of [
      "/jobs",
      `/jobs/${job.id}`,
      "/executors",
      "/queues",
      "/repositories",
      "/secrets",
      "/submit",
    ]) {
      await tab.goto(instance.url + address);
      await tab.getByRole("heading", { level: 1 }).waitFor();
      const overflow = () => document.documentElement.scrollWidth - document.documentElement.clientWidth;
      expect([address, await tab.evaluate(overflow)]).toEqual([address, 0]);
    }
    await tab.keyboard.press("g");
    await tab.keyboard.press("j");
    await tab.waitForURL("**/jobs");
    await tab.locator("[data-job-link]").first().waitFor();
    await tab.keyboard.press("j");
    await tab.keyboard.press("Enter");
    await tab.waitForURL(/\/jobs\/\d+/);
    await tab.keyboard.press("?");
    await tab.getByRole("dialog", { name: "Keyboard shortcuts" }).waitFor();
    await phone.close();
  });

  it("asks for the login when the session ends, and keeps what was typed", async () => {
    const visitor = await newContext();
    const tab = await visitor.newPage();
    await tab.goto(`${instance.url}/login?next=%2Fsecrets#token=${instance.administratorToken}`);
    await tab.waitForURL("**/secrets");
    // A page that does not know its reader yet is loaded again.
    await tab.getByRole("link", { name: "Audit log" }).waitFor();
    await tab.getByRole("button", { name: "New secret" }).first().click();
    const form = tab.getByRole("dialog", { name: "New secret" });
    await form.getByRole("textbox", { name: "Name", exact: true }).fill("TYPED_BEFORE");
    await form.getByRole("textbox", { name: "Value" }).fill("a-value-that-was-typed");
    await visitor.clearCookies();
    // Not a click: a request of the page itself may find the end first, and the login then covers the button.
    await form.getByRole("button", { name: "Add secret" }).dispatchEvent("click");

    const login = tab.getByRole("dialog", { name: "Your session has ended" });
    await login.getByRole("textbox", { name: "Token" }).fill("not-the-token-but-long-enough");
    await login.getByRole("button", { name: "Log in" }).click();
    await login.getByText("This token is not valid.").waitFor();
    await login.getByRole("textbox", { name: "Token" }).fill(instance.administratorToken);
    await login.getByRole("button", { name: "Log in" }).click();
    await login.waitFor({ state: "detached" });
    await form.getByRole("button", { name: "Add secret" }).click();
    await form.waitFor({ state: "detached" });
    await tab.getByRole("heading", { name: "TYPED_BEFORE" }).waitFor();

    await visitor.clearCookies();
    await tab.reload();
    await tab.waitForURL("**/login?next=%2Fsecrets");
    await visitor.close();
  });

  it("goes on with live updates after a new login", async () => {
    const visitor = await newContext();
    const tab = await visitor.newPage();
    await tab.goto(`${instance.url}/login#token=${instance.administratorToken}`);
    await tab.waitForURL("**/jobs");
    const { job, entry } = await startJob();
    await tab.goto(`${instance.url}/jobs/${job.id}`);
    await job.print(entry, "before the end\n");
    await tab.getByText("before the end").waitFor();
    // The instance ends the streams of a session that has ended.
    await tab.request.delete(`${instance.url}/api/v1/session`, { headers: { origin: instance.url } });
    const login = tab.getByRole("dialog", { name: "Your session has ended" });
    await login.getByRole("textbox", { name: "Token" }).fill(instance.administratorToken);
    await login.getByRole("button", { name: "Log in" }).click();
    await login.waitFor({ state: "detached" });
    await job.print(entry, "after the login\n");
    await tab.getByText("after the login").waitFor();
    await visitor.close();
  });
});

/**
 * Uses the same timeout as the browser's own waiting, because the default of one second is too short on a busy machine.
 */
function eventually<T>(read: () => T) {
  return expect.poll(read, { timeout: 30_000 });
}

function numbered(from: number, to: number): string {
  return Array.from({ length: to - from + 1 }, (_, index) => `line ${from + index}.\n`).join("");
}

async function createRepository(directory: string): Promise<string> {
  const git = (...words: string[]) => run("git", ["-C", directory, ...words]);
  await run("git", ["init", "-q", "-b", "main", directory]);
  await writeFile(path.join(directory, "README.md"), "widgets\n");
  await git("add", ".");
  await git("-c", "user.name=test", "-c", "user.email=test@example.com", "commit", "-qm", "Begin");
  return directory;
}
