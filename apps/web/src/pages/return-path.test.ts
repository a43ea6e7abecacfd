import { describe, expect, it } from "vitest";
import { loginPath, returnPath } from "./return-path.ts";

const origin = "http://airlock.example";
const back = (next: string) => returnPath(new URLSearchParams({ next }), origin);

describe("the redirect after login", () => {
  it("leads to the page that the visitor requested", () => {
    const path = loginPath({ pathname: "/jobs/42", search: "?entry=3", hash: "#L120" });
    expect(returnPath(new URL(path, origin).searchParams, origin)).toBe("/jobs/42?entry=3#L120");
  });

  it("keeps the page when a second request is refused on the login page", () => {
    expect(loginPath({ pathname: "/login", search: "?next=%2Fusers", hash: "" })).toBe("/login?next=%2Fusers");
  });

  it.each([
    "https://evil.example/",
    "//evil.example",
    "/\\evil.example",
    "javascript:alert(1)",
    "",
    "/login?next=/x",
    "/.//evil.example",
  ])("never leaves the instance for %s", (next) => {
    expect(back(next)).toBe("/jobs");
  });
});
