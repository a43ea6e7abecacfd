import { describe, expect, it } from "vitest";
import { hideAddressCredentials, hideUrlCredentials } from "./hide-url-credentials.ts";

describe("hideUrlCredentials", () => {
  it.each([
    ["a user and a password", "http://ci:s3cret@git.example/app.git", "http://***@git.example/app.git"],
    ["a token as user", "https://s3cret@git.example/app.git", "https://***@git.example/app.git"],
    ["a password alone", "https://:s3cret@git.example/", "https://***@git.example/"],
    ["a password with an @", "https://ci:s3@cret@git.example/", "https://***@git.example/"],
    ["a password with a slash", "https://ci:s3/cret@git.example/app", "https://***@git.example/app"],
    ["a password with ? and #", "https://ci:s3?c#ret@git.example/app", "https://***@git.example/app"],
    ["a password with percent signs", "https://ci:s3%40cret@git.example/", "https://***@git.example/"],
    ["a password in an ssh URL", "ssh://git:s3cret@git.example/app", "ssh://***@git.example/app"],
    ["other schemes", "HTTP://ci:s3cret@h/ postgres://u:s3cret@h/db", "HTTP://***@h/ postgres://***@h/db"],
    ["several in one text", "not http://a:s3cret@b nor 'https://c:s3cret@d'", "not http://***@b nor 'https://***@d'"],
    [
      "parameters",
      "https://h/x?private_token=s3cret&x=1&API_KEY=s3cret#a",
      "https://h/x?private_token=***&x=1&API_KEY=***#a",
    ],
    ["an IPv6 host", "http://ci:s3cret@[::1]:80/x", "http://***@[::1]:80/x"],
  ])("hides %s", (_, text, expected) => {
    expect(hideUrlCredentials(text)).toBe(expected);
  });

  it.each([
    "https://git.example:8443/app.git",
    "https://git.example:8443/@scope/app@1.2",
    "https://git.example/@scope/app",
    "ssh://git@git.example:2222/app.git",
    "git@git.example:team/app.git",
    "docker.io/library/alpine:3@sha256:0123456789abcdef",
    "localhost:5000/app@sha256:0123456789abcdef",
    "mail a@b.example about 10:30",
    "https://h/jobs?limit=5&before=7",
    "",
  ])("leaves %j alone", (text) => {
    expect(hideUrlCredentials(text)).toBe(text);
  });

  it("can keep the text's length, so that columns stay aligned", () => {
    const masked = hideUrlCredentials("at http://ci:s3cret@h/x", (text) => "*".repeat(text.length));
    expect(masked).toBe("at http://*********@h/x");
  });

  it("takes linear time", () => {
    const before = process.cpuUsage();
    for (const part of ["a://", "a://b:", "a://b:c/", "?token", "@", "a://b@"]) {
      hideUrlCredentials(part.repeat(30_000));
      hideUrlCredentials(`${part.repeat(30_000)}@`);
    }
    const { user, system } = process.cpuUsage(before);
    expect((user + system) / 1000).toBeLessThan(2000);
  });
});

describe("hideAddressCredentials", () => {
  it.each([
    ["http://ci:s3cret@git.example/app.git", "http://***@git.example/app.git"],
    ["ci:s3cret@git.example/app.git", "***@git.example/app.git"],
    ["s3cret:x-oauth@git.example/app.git", "***@git.example/app.git"],
    ["git@git.example:team/app.git", "git@git.example:team/app.git"],
    ["https://git.example/app.git", "https://git.example/app.git"],
    ["/srv/git/app.git", "/srv/git/app.git"],
  ])("shows %s as %s", (address, expected) => {
    expect(hideAddressCredentials(address)).toBe(expected);
  });
});
