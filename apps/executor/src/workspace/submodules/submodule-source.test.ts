import { describe, expect, it } from "vitest";
import { type RepositorySource, type SubmoduleHosts, submoduleSource } from "./submodule-source.ts";

const instanceUrl = new URL("https://airlock.example/prefix/");
const hosts: SubmoduleHosts = {
  instanceUrl,
  instanceHeaders: { authorization: "Bearer secret" },
  allowed: new Set(["git.example", "git.example:8443", "[2001:db8::1]:8443"]),
};
const parent: RepositorySource = {
  repository: "team/app",
  scope: instanceUrl,
  url: new URL("https://airlock.example/prefix/.executors/git/team/app"),
  headers: hosts.instanceHeaders,
  onInstance: true,
};
const resolve = (url: string, from = parent) => submoduleSource(url, from, hosts);

describe("a submodule's address", () => {
  it.each([
    ["../lib", "team/lib"],
    ["../lib.git", "team/lib"],
    ["../../other/lib/", "other/lib"],
    ["./nested", "team/app/nested"],
    ["https://airlock.example/prefix/.executors/git/a%20b/c", "a b/c"],
  ])("%s leads to a repository of the instance", (url, repository) => {
    expect(resolve(url)).toMatchObject({ repository, onInstance: true, headers: hosts.instanceHeaders });
    expect(resolve(url).url.href).toMatch(/^https:\/\/airlock\.example\/prefix\/\.executors\/git\//);
  });

  it.each(["https://git.example/x/lib.git", "http://GIT.example/x", "https://git.example:8443/x"])(
    "%s is fetched without credentials from an allowed host, and so are addresses relative to it",
    (url) => {
      const source = resolve(url);
      expect(source).toMatchObject({ onInstance: false, headers: {} });
      const sibling = resolve("../sibling", source);
      expect(sibling).toMatchObject({ onInstance: false, headers: {} });
      expect(sibling.url.host).toBe(source.url.host);
    },
  );

  it.each([
    "https://evil.example/x",
    "https://git.example:9999/x",
    "https://git.example.evil.example/x",
    "http://169.254.169.254/latest/meta-data",
    "http://[::ffff:169.254.169.254]/x",
    "https://airlock.example/api/v1/secrets",
    "https://airlock.example/prefix/.executors/gitx/x",
    "https://airlock.example/prefix/.executors/git/../queue/x",
    "http://airlock.example/prefix/.executors/git/team/lib",
  ])("%s is refused because its host or scheme is not allowed", (url) => {
    expect(() => resolve(url)).toThrow(expect.objectContaining({ reason: "policy" }));
  });

  it.each([
    "",
    "-u./payload",
    "--upload-pack=touch /tmp/x",
    "ext::sh -c touch% /tmp/x",
    "file:///etc",
    "/etc/passwd",
    "git@git.example:x/lib",
    "ssh://git.example/x",
    "git://git.example/x",
    "fd::17",
    "javascript:alert(1)",
    "https://user:password@git.example/x",
    "https://git.example/x?token=1",
    "https://git.example/x#y",
    "https://git.example/a b",
    "https://git.exam\nple/x",
    "https://git.example/x\r",
    "https:\\\\evil.example\\x",
    "https:/\\evil.example/x",
    "../../../../x",
    "../../..",
    "..\\..\\x",
    "https://airlock.example/prefix/.executors/git/a%2f..%2f..%2fb",
    "https://airlock.example/prefix/.executors/git/%zz",
    `../${"x".repeat(3000)}`,
  ])("%j is refused", (url) => {
    expect(() => resolve(url)).toThrow(expect.objectContaining({ reason: "checkout-invalid" }));
  });
});
