import { describe, expect, it } from "vitest";
import { parseRepositoryUrl } from "./repository-url.ts";

const parse = (url: string, allowLocal = false) => parseRepositoryUrl(url, { allowLocal });

describe("parseRepositoryUrl", () => {
  it.each([
    ["https://github.com/owner/name.git", "github.com/owner/name", "https", "https://github.com/owner/name.git"],
    ["https://u:p@host.example:8443/a/b", "host.example-8443/a/b", "https", "https://host.example:8443/a/b"],
    ["https://token@host.example/a?x=token", "host.example/a", "https", "https://host.example/a"],
    ["http://host.example/a.git", "host.example/a", "http", "http://host.example/a.git"],
    ["ssh://git@host.example/a/b.git", "host.example/a/b", "ssh", "ssh://git@host.example/a/b.git"],
    ["git@host.example:a/b.git", "host.example/a/b", "ssh", "git@host.example:a/b.git"],
    ["ssh://git@host.example:22/a", "host.example/a", "ssh", "ssh://git@host.example:22/a"],
    ["ssh://git@host.example:2222/a", "host.example-2222/a", "ssh", "ssh://git@host.example:2222/a"],
    ["http://[2001:db8::1]:7999/a.git", "2001-db8--1--7999/a", "http", "http://[2001:db8::1]:7999/a.git"],
    ["git://host.example/a", "host.example/a", "git", "git://host.example/a"],
  ])("understands %s", (url, name, allowedProtocols, displayUrl) => {
    expect(parse(url)).toMatchObject({ url, defaultNames: [name], allowedProtocols, displayUrl, kind: "remote" });
  });

  it("passes git the normalized URL that it validated, not the original text", () => {
    expect(parse("https:///host.example\\@evil.example/x").url).toBe("https://host.example/@evil.example/x");
  });

  it("distinguishes URLs with credentials from URLs without", () => {
    expect(parse("https://u:p@h.example/a").hasCredentials).toBe(true);
    expect(parse("https://u@h.example/a").hasCredentials).toBe(true);
    expect(parse("https://h.example/a").hasCredentials).toBe(false);
  });

  it.each([
    ["/srv/git/app.git", ["app", "git/app", "srv/git/app"]],
    ["/home/me/checkout/", ["checkout", "me/checkout", "home/me/checkout"]],
    ["/home/me/checkout/.git", ["checkout", "me/checkout", "home/me/checkout"]],
    ["file:///srv/my%20app", ["my-app", "srv/my-app"]],
    ["/srv/.hidden", ["hidden", "srv/hidden"]],
    ["/", ["repository"]],
  ])("derives names from the local path %s", (url, defaultNames) => {
    expect(parse(url, true)).toMatchObject({ kind: "local", defaultNames, allowedProtocols: "file" });
    expect(() => parse(url)).toThrow(/local paths/);
  });

  it.each(["s3cret:x-oauth@host.example/a", "ci:s3cret@host.example/a.git", "https://ci:s3/cret@host.example/a"])(
    "does not repeat %s, which may contain a secret, in its error",
    (url) => {
      expect(() => parse(url)).toThrow(expect.objectContaining({ message: expect.not.stringContaining("s3cret") }));
    },
  );

  it.each([
    "ext::sh -c id",
    "fd::17",
    "-oProxyCommand=x:y",
    "ssh://-oProxyCommand=x/y",
    "ssh://-x@host.example/y",
    "host:-x",
    "https://",
    "relative/path",
    "https://host.example/a\nb",
    "https://host.example/\u0000",
    "file://host/path",
    "",
  ])("refuses %j", (url) => {
    expect(() => parse(url, true)).toThrow(/not a repository URL/);
  });
});
