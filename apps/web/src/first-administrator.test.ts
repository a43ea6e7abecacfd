import { describeWithEngines } from "@airlock/test-kit";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, expect, it } from "vitest";
import { startWebUi, type WebUi } from "./testing/start-web-ui.ts";

const password = "a-long-password-of-a-test";

describeWithEngines(["chromium"], "the first administrator of an instance", () => {
  let web: WebUi;
  let page: Page;

  beforeAll(async () => {
    web = await startWebUi();
    page = await web.open({ storageState: { cookies: [], origins: [] } });
  });
  afterAll(() => web[Symbol.asyncDispose]());

  const field = (label: string) => page.getByRole("textbox", { name: label, exact: true });
  const press = (name: string) => page.getByRole("button", { name, exact: true }).click();
  const text = (words: string) => page.getByText(words, { exact: true }).waitFor();
  /** What a screen reader reads with a field. */
  const errorOf = async (label: string) => {
    await field(label).and(page.locator('[aria-invalid="true"]')).waitFor();
    const ids = (await field(label).getAttribute("aria-describedby")) ?? "";
    const texts = await Promise.all(ids.split(/ +/).map((id) => page.locator(`[id="${id}"]`).textContent()));
    return texts.join(" ");
  };

  it("asks for the first administrator after the administrator's token, and returns to the page", async () => {
    await page.goto(`${web.instance.url}/executors`);
    await page.getByText("This instance has no users yet.").waitFor();
    await field("Token").fill(web.instance.administratorToken);
    await press("Log in");
    await page.waitForURL("**/setup?next=%2Fexecutors");
    await field("User name").fill("Ada Lovelace");
    await field("Password").fill("password1234");
    await press("Create administrator");
    expect(await errorOf("User name")).toContain("lower-case");
    await field("User name").fill("ada");
    await press("Create administrator");
    expect(await errorOf("Password")).toMatch(/common|guess/);
    await field("Full name").fill("Ada Lovelace");
    await field("Password").fill(password);
    await press("Create administrator");
    await page.waitForURL("**/executors");
    await press("Session");
    await page.getByText("ada ·").waitFor();
    await page.getByRole("menuitem", { name: "Log out" }).click();
    await page.waitForURL("**/login");
  });

  it("logs a user in by name and password, and still takes the administrator's token", async () => {
    await page.goto(`${web.instance.url}/queues`);
    await field("User name").fill("Ada");
    await field("Password").fill("not-this-password");
    await press("Log in");
    await text("The name or the password is wrong.");
    await press("Use the administrator's token");
    await field("Token").fill("not-the-token-but-long-enough");
    await press("Log in");
    await text("This token is not valid.");
    await press("Log in with your account");
    await field("User name").fill("Ada");
    await field("Password").fill(password);
    await press("Log in");
    await page.waitForURL("**/queues");
  });

  it("loads the page again for another reader, who must not see what the first one typed", async () => {
    await page.getByRole("button", { name: "New queue" }).click();
    await page.getByRole("textbox", { name: "Name", exact: true }).fill("typed-by-ada");
    await page.context().clearCookies();
    await page.getByRole("button", { name: "Add queue" }).dispatchEvent("click");
    await page.getByText("Log in again as ada to go on.").waitFor();
    await press("Use the administrator's token");
    await field("Token").fill(web.instance.administratorToken);
    await press("Log in");
    await expect.poll(() => page.getByRole("dialog").count()).toBe(0);
    await page.getByRole("button", { name: "New queue" }).waitFor();
    expect(await page.getByText("typed-by-ada").count()).toBe(0);
  });
});
