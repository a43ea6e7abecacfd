import { describeWithEngines } from "@airlock/test-kit";
import axe from "axe-core";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, expect, it } from "vitest";
import { startWebUi, type WebUi } from "./testing/start-web-ui.ts";
import { helpPlaces } from "./ui/help-link.tsx";

const anonymous = { storageState: { cookies: [], origins: [] } };
const sizes = { wide: { width: 1440, height: 900 }, narrow: { width: 390, height: 844 } } as const;

describeWithEngines(["chromium"], "the documentation site", () => {
  let web: WebUi;
  let page: Page;
  const problems: string[] = [];
  beforeAll(async () => {
    web = await startWebUi();
    page = await web.open({ ...anonymous, viewport: sizes.wide });
    page.on("console", (message) => {
      if (message.type() === "error") problems.push(message.text());
    });
    page.on("pageerror", (error) => problems.push(error.message));
    page.on("request", (request) => {
      if (new URL(request.url()).origin !== web.instance.url) problems.push(`requests ${request.url()}`);
    });
  });
  afterAll(() => web[Symbol.asyncDispose]());

  const address = (path: string) => `${web.instance.url}${path}`;
  const heading = () => page.getByRole("heading", { level: 1 }).textContent();

  it("is readable without sign-in, and every page of its navigation is there", async () => {
    await page.goto(address("/help"));
    expect(await heading()).toBe("Airlock help");
    const links = page.getByRole("navigation", { name: "Pages", exact: true }).getByRole("link");
    const pages = await links.evaluateAll((all) => all.map((link) => [link.getAttribute("href"), link.textContent]));
    expect(pages.length).toBeGreaterThan(20);
    for (const [href, title] of pages) {
      const answer = await page.request.get(address(href ?? ""));
      expect([href, answer.status(), (await answer.text()).includes("<h1 ")]).toEqual([href, 200, true]);
      expect(answer.headers()["content-security-policy"]).toContain("script-src 'self'");
      expect(title).not.toBe("");
    }
    await page.getByRole("link", { name: "Job file reference" }).first().click();
    await page.waitForURL("**/help/job-file-reference");
    await page.getByRole("cell", { name: /^Text files to write into the workspace/ }).waitFor();
    expect(await page.getByRole("link", { name: "Job file reference" }).first().getAttribute("aria-current")).toBe(
      "page",
    );
  });

  it("answers an address that has no page with 404 and the navigation", async () => {
    for (const path of ["/help/nowhere", "/help/decisions/", "/help/404.html"]) {
      const answer = await page.request.get(address(path));
      expect([path, answer.status()]).toEqual([path, 404]);
      expect(await answer.text()).toContain("The help has no page at this address");
    }
  });

  it("has all places to which the web UI links, with their headings", async () => {
    for (const href of [...Object.values(helpPlaces), "/help/errors#name-taken"]) {
      await page.goto(address(href));
      const { hash } = new URL(page.url());
      expect([href, await page.locator(hash === "" ? "h1" : hash).count()]).toEqual([href, 1]);
    }
  });

  it("finds a section with the keyboard alone, and says so to screen readers", async () => {
    await page.goto(address("/help"));
    await page.keyboard.press("/");
    await page.keyboard.type("rotate executor tok");
    await page
      .getByRole("status")
      .filter({ hasText: /^\d+ results$/ })
      .waitFor({ state: "attached" });
    await page.keyboard.press("ArrowDown");
    const first = page.locator(":focus");
    expect(await first.getAttribute("href")).toBe("/help/access#executor-tokens");
    await page.keyboard.press("Enter");
    await page.waitForURL("**/help/access#executor-tokens");
    await page.keyboard.press("/");
    await page.keyboard.type("<img src=x onerror=alert(1)> qqqq");
    await page.getByText(/^Nothing found for/).waitFor();
    await page.keyboard.press("Escape");
    expect(await page.getByRole("searchbox").inputValue()).toBe("");
    expect(await page.getByText(/^Nothing found for/).count()).toBe(0);
  });

  it("opens the list of pages on a phone, and closes it with Escape", async () => {
    await page.setViewportSize(sizes.narrow);
    await page.goto(address("/help/job-file"));
    const list = page.getByRole("navigation", { name: "Pages", exact: true });
    await expect.poll(() => list.isVisible()).toBe(false);
    await page.getByRole("button", { name: "Pages" }).click();
    expect(await list.isVisible()).toBe(true);
    await page.keyboard.press("Escape");
    await expect.poll(() => list.isVisible()).toBe(false);
    const width = await page.evaluate(() => document.documentElement.scrollWidth);
    expect(width).toBeLessThanOrEqual(sizes.narrow.width);
    await page.setViewportSize(sizes.wide);
  });

  it.each(["/help", "/help/access", "/help/how-a-job-travels", "/help/nowhere"])(
    "meets the accessibility rules at %s, light and dark, wide and narrow",
    async (path) => {
      for (const size of [sizes.wide, sizes.narrow]) {
        await page.setViewportSize(size);
        await page.goto(address(path));
        for (const scheme of ["dark", "light"]) {
          await page.getByRole("button", { name: `Use ${scheme} colours` }).click();
          await page.evaluate(axe.source);
          const found = await page.evaluate(async () => {
            const { axe: checker } = window as unknown as { axe: typeof axe };
            return (await checker.run(document, { resultTypes: ["violations"] })).violations;
          });
          expect(found.map(({ id, nodes }) => `${id}: ${nodes[0]?.html}`)).toEqual([]);
        }
      }
    },
  );

  it("is linked from pages and errors of the web UI", async () => {
    const tab = await web.open();
    await tab.goto(address("/secrets"));
    const [help] = await Promise.all([
      tab.waitForEvent("popup"),
      tab.getByRole("main").getByRole("link", { name: "Help" }).first().click(),
    ]);
    await help.waitForURL("**/help/secrets");
    await tab.context().close();
    await web.instance.rest("POST", "/users", { name: "ada" });
    await page.goto(address("/login"));
    await page.getByLabel("User name").fill("ada");
    await page.getByRole("textbox", { name: "Password" }).fill("not-the-password");
    await page.getByRole("button", { name: "Log in" }).click();
    const about = page.getByRole("link", { name: "About this error" });
    expect(await about.getAttribute("href")).toBe("/help/errors#sign-in-failed");
  });

  it("loads nothing from elsewhere and reports no error in the console", () => {
    // The page that does not exist, and the wrong password.
    const expected = /40[14] \((?:Not Found|Unauthorized)\)/;
    expect(problems.filter((problem) => !expected.test(problem))).toEqual([]);
  });
});
