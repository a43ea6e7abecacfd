import { describeWithEngines } from "@airlock/test-kit";
import axe from "axe-core";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, expect, it } from "vitest";
import { startWebUi, type WebUi } from "./testing/start-web-ui.ts";

const wide = { width: 1440, height: 900 };
const phone = { width: 390, height: 844 };

describeWithEngines(["chromium"], "the lists of the web UI", () => {
  let web: WebUi;
  beforeAll(async () => {
    web = await startWebUi();
  });
  afterAll(() => web[Symbol.asyncDispose]());

  const rows = (page: Page) =>
    page.locator("[data-job]").evaluateAll((all) => all.map((row) => Number(row.getAttribute("data-job"))));
  const open = async (path: string, viewport: { width: number; height: number }) => {
    const page = await web.open({ viewport });
    await page.goto(`${web.instance.url}${path}`);
    await page.getByRole("heading", { level: 1 }).waitFor();
    return page;
  };

  it("filters jobs by text, label and time, and keeps the filter in the address", async () => {
    const plain = await web.startJob();
    await plain.fail("a flaky network", 1);
    const labeled = await web.submit({ labels: { gpu: "a100" } });
    const page = await open("/jobs", wide);
    await eventually(() => rows(page)).toEqual([labeled, plain.id]);
    await page.getByRole("searchbox", { name: "Text" }).fill("FLAKY");
    await eventually(() => rows(page)).toEqual([plain.id]);
    expect(new URL(page.url()).search).toBe("?text=FLAKY");
    await page.getByRole("button", { name: "Clear filters" }).click();
    await eventually(() => rows(page)).toEqual([labeled, plain.id]);
    expect(await page.getByRole("searchbox", { name: "Text" }).inputValue()).toBe("");
    const labels = page.getByRole("combobox", { name: "Labels" }).or(page.getByRole("textbox", { name: "Labels" }));
    await labels.fill("gpu=a100");
    await labels.press("Enter");
    await eventually(() => rows(page)).toEqual([labeled]);
    const another = await web.submit({ labels: { gpu: "a100" } });
    await eventually(() => rows(page)).toEqual([another, labeled]);
    await page.goto(`${web.instance.url}/jobs?since=2999-01-01T00:00:00Z`);
    await page.getByText("No job matches these filters").waitFor();
    await page.getByRole("button", { name: "Clear filters" }).click();
    await page.getByRole("combobox", { name: "Submitted" }).click();
    await page.getByRole("option", { name: "Last hour" }).click();
    await eventually(() => rows(page)).toEqual([another, labeled, plain.id]);
    expect(new URL(page.url()).searchParams.get("since")).toMatch(/^\d{4}-.*Z$/);
    await page.context().close();
  });

  it.each([
    ["wide", wide],
    ["phone", phone],
  ] as const)("cancels and retries several jobs at once, %s", async (_, viewport) => {
    const first = await web.submit({ labels: { no: "executor" } });
    const second = await web.submit({ labels: { no: "executor" } });
    const page = await open("/jobs?label=no%3Dexecutor&state=queued", viewport);
    await eventually(() => rows(page)).toEqual([second, first]);
    await page.getByLabel(`Select job ${first}`).check();
    await page.getByLabel(`Select job ${second}`).check();
    const group = page.getByRole("group", { name: "Selected jobs" });
    await group.getByText("2 jobs selected").waitFor();
    expect(await axeFinds(page)).toEqual([]);
    await group.getByRole("button", { name: "Cancel 2" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Cancel 2 jobs" }).click();
    await eventually(() => rows(page)).toEqual([]);
    await page.goto(`${web.instance.url}/jobs?label=no%3Dexecutor&state=canceled`);
    await page.getByLabel(`Select job ${second}`).check();
    await page.getByLabel(`Select job ${first}`).check();
    await page.route(`**/api/v1/jobs/${first}/retry`, (route) => route.abort("connectionfailed"));
    await group.getByRole("button", { name: "Retry 2" }).click();
    await page
      .getByRole("alert")
      .getByText(new RegExp(`^#${first}: `))
      .waitFor();
    await eventually(() => rows(page)).not.toContain(second);
    expect(await rows(page)).toContain(first);
    await web.instance.rest("POST", `/jobs/${second}/cancel`, {});
    await page.context().close();
  });

  it("fetches and deletes a repository, deletes a queue, and pauses an executor", async () => {
    await web.instance.rest("POST", "/repositories", { name: "team/gone", url: "https://192.0.2.1/team/gone.git" });
    await web.instance.rest("POST", "/queues", { name: "unused" });
    const page = await open("/repositories", phone);
    const card = page.getByRole("article", { name: "team/gone" });
    await card.getByRole("button", { name: "Fetch now: team/gone" }).waitFor();
    await card.getByRole("button", { name: "Delete team/gone" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Delete" }).click();
    await card.waitFor({ state: "detached" });
    await page.goto(`${web.instance.url}/queues`);
    await page.getByRole("button", { name: "Delete unused" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Delete" }).click();
    await page.getByText("unused", { exact: true }).waitFor({ state: "detached" });
    await page.getByRole("button", { name: "Delete default" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Delete" }).click();
    await page
      .getByRole("dialog")
      .getByText(/jobs|used/i)
      .first()
      .waitFor();
    await page.keyboard.press("Escape");
    await web.executor.heartbeat();
    await page.goto(`${web.instance.url}/executors`);
    await page.getByRole("button", { name: "Pause build-01" }).waitFor();
    expect(await axeFinds(page)).toEqual([]);
    await page.getByRole("button", { name: "Pause build-01" }).click();
    await page.getByRole("button", { name: "Resume build-01" }).click();
    await page.getByRole("button", { name: "Pause build-01" }).waitFor();
    await page.context().close();
  });
});

async function axeFinds(page: Page): Promise<string[]> {
  await page.evaluate(axe.source);
  return await page.evaluate(async () => {
    const { axe: checker } = window as unknown as { axe: typeof axe };
    const runOnly = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"];
    const { violations } = await checker.run(document, { runOnly, resultTypes: ["violations"] });
    return violations.flatMap(({ id, nodes }) => nodes.map(({ target }) => `${id}: ${target.join(" ")}`));
  });
}

/** Uses the same timeout as the browser's own waiting, because the default of one second is too short. */
function eventually<T>(read: () => T) {
  return expect.poll(read, { timeout: 30_000 });
}
