import { toleratedFsckClasses } from "./fsck-classes.ts";

/** The first git that reads configuration from `GIT_CONFIG_COUNT`. SHA-256 repositories need 2.29. */
export const minimumGitVersion = "2.31";

/** Configuration of git by its keys, such as `core.hooksPath`; a list is one value after the other. */
export type GitSettings = Readonly<Record<string, string | readonly string[]>>;

/**
 * Settings of every git that instance and executor run. Repositories come from strangers: nothing in one may make git
 * run a program, speak a protocol that the caller did not ask for, or keep malformed objects.
 */
const hardening: GitSettings = {
  "core.askPass": "",
  "core.attributesFile": "/dev/null",
  "core.excludesFile": "/dev/null",
  "core.fsmonitor": "false",
  "core.hooksPath": "/dev/null",
  "core.logAllRefUpdates": "false",
  "core.protectHFS": "true",
  "core.protectNTFS": "true",
  "credential.helper": "",
  "fetch.fsckObjects": "true",
  "fetch.recurseSubmodules": "false",
  "fetch.unpackLimit": "1",
  "gc.auto": "0",
  // A redirect would let a remote server choose which internal address git connects to (SSRF).
  "http.followRedirects": "false",
  // Ends a connection on which nothing moves. The smallest limit, because git's keep-alive is about one byte per second.
  "http.lowSpeedLimit": "1",
  "http.lowSpeedTime": "120",
  "maintenance.auto": "false",
  "protocol.allow": "never",
  "protocol.version": "2",
  "safe.bareRepository": "explicit",
  "submodule.recurse": "false",
  ...Object.fromEntries(toleratedFsckClasses.map((name) => [`fetch.fsck.${name}`, "ignore"])),
};

export interface GitEnvironmentOptions {
  /** Where git and its helpers are looked for. */
  readonly path: string;
  /** An empty directory in place of a user's home. */
  readonly home: string;
  /** Added to the hardening, or in place of a part of it. Secrets belong here: command lines are public. */
  readonly settings?: GitSettings;
}

/** The whole environment of a git that works on a repository of strangers. Needs `minimumGitVersion`. */
export function gitEnvironment({ path, home, settings }: GitEnvironmentOptions): Record<string, string> {
  const entries = Object.entries({ ...hardening, ...settings }).flatMap(([key, values]) =>
    [values].flat().map((value) => [key, value] as const),
  );
  return {
    PATH: path,
    HOME: home,
    LC_ALL: "C",
    TZ: "UTC",
    GIT_ADVICE: "0",
    GIT_ASKPASS: "",
    GIT_ATTR_NOSYSTEM: "1",
    GIT_CONFIG_GLOBAL: "/dev/null",
    GIT_CONFIG_NOSYSTEM: "1",
    GIT_LFS_SKIP_SMUDGE: "1",
    GIT_NO_LAZY_FETCH: "1",
    GIT_NO_REPLACE_OBJECTS: "1",
    GIT_TERMINAL_PROMPT: "0",
    GIT_CONFIG_COUNT: String(entries.length),
    ...Object.fromEntries(
      entries.flatMap(([key, value], index) => [
        [`GIT_CONFIG_KEY_${index}`, key],
        [`GIT_CONFIG_VALUE_${index}`, value],
      ]),
    ),
  };
}
