import type { StepUsage } from "@airlock/api";
import { describeWithEngines } from "@airlock/test-kit";
import axe from "axe-core";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, expect, it } from "vitest";
import { frameCosts, median } from "./testing/frame-costs.ts";
import type { ScriptedJob } from "./testing/scripted-executor.ts";
import { startWebUi, type WebUi } from "./testing/start-web-ui.ts";

const wide = { width: 1440, height: 900 };
const phone = { width: 390, height: 844 };

describeWithEngines(["chromium"], "the page of a job", () => {
  let web: WebUi;

  beforeAll(async () => {
    web = await startWebUi();
  });
  afterAll(() => web[Symbol.asyncDispose]());

  /** A job whose step 55 of 60 failed. */
  async function failAtStep55(): Promise<ScriptedJob> {
    const steps = Array.from({ length: 60 }, (_, index) => ({
      key: `step-${index + 1}`,
      image: "alpine:3",
      run: index === 54 ? "#!/bin/sh\n\nnpm run test:integration -- --shard 3/8\necho \u202eevil\nexit 1" : "true",
    }));
    const job = await web.startJob({ steps });
    await job.close(await job.open("setup.git.fetch", ["git", "fetch", "origin"]), 0);
    for (let number = 1; number <= 55; number += 1) {
      const entry = await job.open(`step.oci.step-${number}`, ["/bin/sh", `/airlock/${number - 1}.sh`]);
      await job.print(entry, `output of step ${number}\n`);
      await job.close(entry, number === 55 ? 1 : 0);
    }
    await job.use({ ...usageOfStep({ memoryBytes: [100, 999, 3], durationMs: 2500 }), step: 54 });
    await job.fail("Step step-55 exited with code 1.", 1);
    return job;
  }
  let failed: Promise<ScriptedJob> | undefined;
  const failedJob = () => (failed ??= failAtStep55());

  const timeline = (page: Page) => page.getByRole("navigation", { name: "Timeline" });
  const log = (page: Page) => page.getByRole("log", { name: "Output" });
  const lines = (page: Page) => log(page).locator("[data-index]").allTextContents();

  it("shows the failing one of 60 steps with its log, which stays in view while the timeline scrolls", async () => {
    const job = await failedJob();
    const page = await web.open({ viewport: wide });
    await page.goto(`${web.instance.url}/jobs/${job.id}`);
    await eventually(() => lines(page)).toEqual(["output of step 55"]);
    const row = timeline(page).getByRole("link", { name: /step-55/ });
    expect(await row.getAttribute("aria-current")).toBe("true");
    await expectInView(row);
    await row.hover();
    const before = await log(page).boundingBox();
    await page.mouse.wheel(0, -5000);
    await eventually(() => timeline(page).evaluate((element) => element.scrollTop)).toBe(0);
    await expectInView(timeline(page).getByRole("link", { name: /step-1 / }));
    expect(await log(page).boundingBox()).toEqual(before);
    await page.keyboard.press("[");
    await eventually(() => lines(page)).toEqual(["output of step 54"]);
    await expectInView(timeline(page).getByRole("link", { name: /step-54/ }));
    await page.context().close();
  });

  it("folds the green steps on a phone, and shows the failing one and its log below them", async () => {
    const job = await failedJob();
    const page = await web.open({ viewport: phone });
    await page.goto(`${web.instance.url}/jobs/${job.id}`);
    await eventually(() => lines(page)).toEqual(["output of step 55"]);
    await expectInView(timeline(page).getByRole("link", { name: /step-55/ }));
    await expectInView(page.getByText("output of step 55"));
    const fold = timeline(page).locator("summary", { hasText: "54 steps succeeded" });
    expect(
      await timeline(page)
        .getByRole("link", { name: /step-7 / })
        .isVisible(),
    ).toBe(false);
    await timeline(page).getByText("5 steps not run").waitFor();
    await fold.focus();
    await page.keyboard.press("Enter");
    await timeline(page)
      .getByRole("link", { name: /step-7 / })
      .click();
    await eventually(() => lines(page)).toEqual(["output of step 7"]);
    await expectInView(page.getByText("output of step 7"));
    const overflow = () => document.documentElement.scrollWidth - document.documentElement.clientWidth;
    expect(await page.evaluate(overflow)).toBe(0);
    await page.context().close();
  });

  it("shows a step's own script in the header of its log, with hidden characters escaped", async () => {
    const job = await failedJob();
    const page = await web.open({ viewport: wide });
    await page.goto(`${web.instance.url}/jobs/${job.id}`);
    const header = page.getByRole("toolbar", { name: "Log tools" });
    const button = header.getByRole("button", { name: /npm run test:integration/ });
    await button.waitFor();
    expect(await header.textContent()).not.toContain("/airlock/54.sh");
    await button.focus();
    await page.keyboard.press("Enter");
    expect(await button.getAttribute("aria-expanded")).toBe("true");
    const script = page.getByRole("region", { name: "Script of step-55" });
    expect(await script.textContent()).toBe(
      "#!/bin/sh\n\nnpm run test:integration -- --shard 3/8\necho \\u{202e}evil\nexit 1",
    );
    await page.keyboard.press("Enter");
    await script.waitFor({ state: "detached" });
    await timeline(page).getByText("Setup").waitFor();
    await timeline(page)
      .getByRole("link", { name: /git fetch/ })
      .click();
    await header.getByText("$ git fetch origin").waitFor();
    await page.context().close();
  });

  it("goes to the true end of a live log with End, and to its start with Home", async () => {
    const job = await web.startJob();
    const entry = await job.open("step.oci.test");
    const page = await web.open({ viewport: wide });
    await page.goto(`${web.instance.url}/jobs/${job.id}`);
    const numbered = (from: number, to: number) =>
      Array.from({ length: to - from + 1 }, (_, index) => `line ${from + index}.\n`).join("");
    for (let from = 1; from < 500_000; from += 50_000) await job.print(entry, numbered(from, from + 49_999));
    await page.getByText("500,000 lines").waitFor({ timeout: 30_000 });
    await log(page).focus();
    await page.keyboard.press("Home");
    await page.getByText("line 1.", { exact: true }).waitFor();
    await page.keyboard.press("End");
    await page.getByText("line 500000.", { exact: true }).waitFor();
    await job.print(entry, numbered(500_001, 500_400));
    await page.getByText("line 500400.", { exact: true }).waitFor();
    await page.keyboard.press("Home");
    await page.getByText("line 1.", { exact: true }).waitFor();
    await job.print(entry, "more\n");
    await page.getByText("500,401 lines").waitFor();
    expect(await page.getByText("line 1.", { exact: true }).isVisible()).toBe(true);

    // The log goes on while the reader scrolls and searches.
    let lines = 500_402;
    const printing = new AbortController();
    const printed = (async () => {
      for (; !printing.signal.aborted; lines += 200) await job.print(entry, numbered(lines, lines + 199));
    })();
    const scrolling = await frameCosts(page, 90, () => log(page).evaluate((element) => element.scrollBy(0, 700)));
    await page.getByLabel("Search in the log").fill("line 4999");
    const searching = await frameCosts(page, 60, () => log(page).evaluate((element) => element.scrollBy(0, 700)));
    await page.keyboard.press("Enter");
    await page.locator("[data-current-match]").waitFor();
    printing.abort();
    await printed;
    expect(median(scrolling), "ms of work for each frame while scrolling").toBeLessThan(16);
    expect(median(searching), "ms of work for each frame while searching").toBeLessThan(16);
    await job.complete();
    await page.context().close();
  });

  it("folds the groups that tools print, all or one, and opens the one that a search leads to", async () => {
    const job = await web.startJob();
    const entry = await job.open("step.oci.test");
    const erase = "\r\u001b[0K";
    await job.print(
      entry,
      [
        "::group::Install <b>it</b>",
        "fetching needle-1",
        "::endgroup::",
        `section_start:1560896352:compile${erase}`,
        "compiling",
        `section_end:1560896353:compile${erase}section_start:1560896353:quiet[collapsed=true]${erase}Quiet part`,
        "hushed",
        `section_end:1560896354:quiet${erase}`,
        "::group::Audited",
        "::endgroup::",
        "::group::Test",
        "failed needle-2\n",
      ].join("\n"),
    );
    const page = await web.open({ viewport: phone });
    await page.goto(`${web.instance.url}/jobs/${job.id}`);
    await page.getByText("failed needle-2").waitFor();
    const shown = () => log(page).locator("[data-index] > :last-child").allTextContents();
    const open = ["Install <b>it</b>", "fetching needle-1", "::endgroup::", "compile", "compiling", "Quiet part"];
    const end = ["Audited", "::endgroup::", "Test", "failed needle-2"];
    expect(await shown()).toEqual([...open, ...end]);
    const install = page.getByRole("button", { name: "Group Install <b>it</b>, 2 lines" });
    await install.focus();
    await page.keyboard.press("Enter");
    await eventually(shown).toEqual(["Install <b>it</b>", "compile", "compiling", "Quiet part", ...end]);
    await page.keyboard.press("o");
    await eventually(shown).toEqual([
      "Install <b>it</b>",
      "compile",
      "Quiet part",
      "Audited",
      "Test",
      "failed needle-2",
    ]);
    expect(await page.getByRole("button", { name: /^Group Test/ }).count()).toBe(0);
    await page.keyboard.press("/");
    await page.keyboard.type("needle-1");
    await page.locator("[data-current-match]", { hasText: "needle-1" }).waitFor();
    expect(await install.getAttribute("aria-expanded")).toBe("true");
    await page.reload();
    await page.getByText("failed needle-2").waitFor();
    await eventually(() => install.getAttribute("aria-expanded")).toBe("false");
    expect(await page.getByRole("link", { name: "Line 12" }).count()).toBe(1);
    await page.goto(`${web.instance.url}/jobs/${job.id}?attempt=1&entry=${entry}#L2`);
    await page.getByText("fetching needle-1").waitFor();
    await job.close(entry, 0);
    await job.complete();
    await page.context().close();
  });

  it("shows what a step used, and that it came close to the memory limit, while it runs", async () => {
    const job = await web.startJob();
    const entry = await job.open("step.oci.test");
    await job.use(usageOfStep({ memoryBytes: [100, 500], durationMs: 2000 }));
    const page = await web.open({ viewport: phone });
    await page.goto(`${web.instance.url}/jobs/${job.id}`);
    const panel = page.getByRole("region", { name: "Usage of test" });
    await panel.getByRole("img", { name: "Memory: at most 500 B of 1000 B" }).waitFor();
    await panel.getByText("Disk not measured").waitFor();
    await job.use(usageOfStep({ memoryBytes: [100, 500, 999], cpuMs: [500, 900, 2000], durationMs: 3000 }));
    // The page asks again while the step runs.
    await panel.getByRole("img", { name: "Memory: at most 999 B of 1000 B: close to the limit" }).waitFor();
    await panel.getByRole("img", { name: "CPU: 1.13 of 2 cores on average, at most 2" }).waitFor();
    await job.close(entry, 137, 3000);
    const second = await job.open("teardown.fs");
    await job.close(second, 0);
    await job.fail("killed: out of memory", 137);
    await timeline(page).getByText("Teardown").click();
    await timeline(page).getByRole("link", { name: /fs/ }).click();
    await panel.waitFor({ state: "detached" });
    await page.context().close();
  });

  it("says of a step whose executor measured nothing that nothing was measured", async () => {
    const job = await web.startJob();
    await job.close(await job.open("step.oci.test"), 0, 60_000);
    await job.complete();
    const page = await web.open({ viewport: phone });
    await page.goto(`${web.instance.url}/jobs/${job.id}`);
    await page.getByText("The executor did not measure what this step used.").waitFor();
    await page.context().close();
  });

  it("shows a diff of 50,000 lines that stays smooth, and goes to its files", async () => {
    const job = await web.startJob();
    await job.close(await job.open("step.oci.test"), 0);
    const files = Array.from({ length: 500 }, (_, file) => {
      const lines = Array.from({ length: 48 }, (_, line) => `-old ${file}.${line}\n+new ${file}.${line} </script>`);
      return `diff --git a/src/${file}.ts b/src/${file}.ts\n--- a/src/${file}.ts\n+++ b/src/${file}.ts\n@@ -1,48 +1,48 @@\n${lines.join("\n")}\n`;
    });
    await job.upload("workspace.diff", "diff", files.join(""));
    await job.complete();
    const page = await web.open({ viewport: phone });
    await page.goto(`${web.instance.url}/jobs/${job.id}`);
    await page.getByRole("button", { name: "Show the diff" }).click();
    const diff = page.getByRole("region", { name: "Workspace diff" });
    await diff.getByText("500 files, 24,000 lines added, 24,000 removed").waitFor();
    await diff.getByText("new 0.0 </script>").waitFor();
    const scrolling = await frameCosts(page, 60, () =>
      diff.locator(".cm-scroller").evaluate((element) => element.scrollBy(0, 900)),
    );
    expect(median(scrolling), "ms of work for each frame").toBeLessThan(16);
    expect(await diff.locator(".cm-line").count()).toBeLessThan(300);
    await diff.getByRole("combobox", { name: "Go to a file" }).fill("src/499");
    await page.getByRole("option", { name: "src/499.ts" }).click();
    await diff.getByText("old 499.0").waitFor();
    const overflow = () => document.documentElement.scrollWidth - document.documentElement.clientWidth;
    expect(await page.evaluate(overflow)).toBe(0);
    await page.context().close();
  });

  it("shows the files in an archive, with hostile names escaped, and finds them by name", async () => {
    const job = await web.startJob();
    await job.close(await job.open("step.oci.test"), 0);
    const names = ["report/index.html", "../../<img src=x onerror='window.pwned = 1'>\u202egnp", "src/needle.ts"];
    await job.upload("outputs.tar.gz", "file-archive", tarOf([...names, ...Array(600).fill("many")]));
    await job.complete();
    const page = await web.open({ viewport: phone });
    await page.goto(`${web.instance.url}/jobs/${job.id}`);
    await page.getByRole("button", { name: "Show the files" }).click();
    const files = page.getByRole("region", { name: "Files in outputs.tar.gz" });
    await files.getByText("603 entries, the first 500 are shown").waitFor();
    await files.getByText("../../<img src=x onerror='window.pwned = 1'>\\u{202e}gnp").waitFor();
    expect(await files.locator("img").count()).toBe(0);
    await files.getByLabel("Find files by name").fill("NEEDLE");
    await files.getByText("1 entry", { exact: true }).waitFor();
    expect(await files.getByRole("listitem").allTextContents()).toEqual(["src/needle.ts3 B"]);
    await page.context().close();
  });

  it("shows the times of lines as the reader chose, and remembers the choice", async () => {
    const job = await web.startJob();
    const entry = await job.open("step.oci.test");
    await job.print(entry, "first\n");
    await job.note(entry, "a message of the executor");
    const page = await web.open({ viewport: phone, timezoneId: "Asia/Kathmandu" });
    await page.goto(`${web.instance.url}/jobs/${job.id}`);
    await page.getByText("first", { exact: true }).waitFor();
    const times = () => log(page).locator("[data-time]").allTextContents();
    expect(await times()).toEqual([]);
    await page.getByRole("button", { name: "Times (t)" }).click();
    await page.getByRole("menuitemradio", { name: "Time of day" }).click();
    await eventually(times).toEqual([expect.stringMatching(/^\d\d:\d\d:\d\d\.\d{3}$/), ""]);
    await page.reload();
    await eventually(times).toEqual([expect.stringMatching(/^\d\d:\d\d:\d\d\.\d{3}$/), ""]);
    await page.evaluate(() => localStorage.setItem("airlock-log-times", "nonsense"));
    await page.reload();
    await page.getByText("first", { exact: true }).waitFor();
    expect(await times()).toEqual([]);
    await page.keyboard.press("t");
    await eventually(times).toEqual([expect.stringMatching(/^\+\d+\.\d{3}$/), ""]);
    const overflow = () => document.documentElement.scrollWidth - document.documentElement.clientWidth;
    expect(await page.evaluate(overflow)).toBe(0);
    await job.close(entry, 0);
    await job.complete();
    await page.context().close();
  });

  it("says of a job that never ran that it did not, and why", async () => {
    await web.instance.rest("POST", "/queues", { name: "impatient", maxWaitMs: 1000 });
    const id = await web.submit({ queue: "impatient" });
    const canceled = await web.submit({});
    await web.instance.rest("POST", `/jobs/${canceled}/cancel`, {});
    const page = await web.open({ viewport: phone });
    await page.goto(`${web.instance.url}/jobs/${id}`);
    // The instance looks for such jobs from time to time.
    await page.getByText("This job never ran.").waitFor({ timeout: 30_000 });
    const main = page.getByRole("main");
    expect(await main.textContent()).not.toContain("No output yet.");
    expect(await main.getByText(/No executor is connected to/).count()).toBe(2);
    await page.goto(`${web.instance.url}/jobs/${canceled}`);
    await page.getByText("It was canceled before an executor took it.").waitFor();
    await page.context().close();
  });

  it.each([
    ["light", wide],
    ["dark", wide],
    ["light", phone],
    ["dark", phone],
  ] as const)("meets the accessibility rules, %s at %o", async (colorScheme, viewport) => {
    const job = await failedJob();
    const page = await web.open({ colorScheme, viewport, reducedMotion: "reduce" });
    await page.goto(`${web.instance.url}/jobs/${job.id}`);
    await page.getByRole("button", { name: /npm run test:integration/ }).click();
    await page.keyboard.press("t");
    if (viewport === phone) await page.getByText("54 steps succeeded").click();
    await page.evaluate(axe.source);
    const found = await page.evaluate(async () => {
      const { axe: checker } = window as unknown as { axe: typeof axe };
      const runOnly = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"];
      const { violations } = await checker.run(document, { runOnly, resultTypes: ["violations"] });
      return violations.flatMap(({ id, nodes }) => nodes.map(({ target }) => `${id}: ${target.join(" ")}`));
    });
    expect(found).toEqual([]);
    await page.context().close();
  });
});

/** An archive of files with three bytes each. */
function tarOf(names: readonly string[]): Uint8Array<ArrayBuffer> {
  const blocks = names.map((name) => {
    const block = Buffer.alloc(1024);
    block.write(name);
    block.write("0000644\0", 100);
    block.write("00000000003\0", 124);
    block.write("        0", 148);
    block.write("ustar\u000000", 257);
    block.write(
      `${block
        .subarray(0, 512)
        .reduce((sum, byte) => sum + byte)
        .toString(8)
        .padStart(6, "0")}\0 `,
      148,
    );
    block.write("abc", 512);
    return block;
  });
  return Uint8Array.from(Buffer.concat([...blocks, Buffer.alloc(1024)]));
}

function usageOfStep(change: Partial<StepUsage>): StepUsage {
  const count = change.memoryBytes?.length ?? 0;
  const flat = Array.from({ length: count }, () => 0);
  return {
    ...{ step: 0, startedAt: new Date().toISOString(), intervalMs: 1000, durationMs: 1000 * count },
    limits: { cpus: 2, memoryBytes: 1000, diskBytes: null },
    ...{ cpuMs: flat, memoryBytes: flat, diskBytes: null, receivedBytes: flat, sentBytes: flat },
    ...change,
  };
}

async function expectInView(target: ReturnType<Page["locator"]>): Promise<void> {
  const ratio = () =>
    target.evaluate(
      (element) =>
        new Promise<number>((resolve) => {
          const observer = new IntersectionObserver(([entry]) => {
            observer.disconnect();
            resolve(entry?.intersectionRatio ?? 0);
          });
          observer.observe(element);
        }),
    );
  await eventually(ratio).toBeGreaterThan(0.5);
}

/** Uses the same timeout as the browser's own waiting, because the default of one second is too short. */
function eventually<T>(read: () => T) {
  return expect.poll(read, { timeout: 30_000 });
}
