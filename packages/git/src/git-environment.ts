import { toleratedFsckClasses } from "./fsck-classes.ts";

/** The first git that reads configuration from `GIT_CONFIG_COUNT`. SHA-256 repositories need only 2.29. */
export const minimumGitVersion = "2.31";

/** Git configuration by key, such as `core.hooksPath`. A list sets several values in order. */
export type GitSettings = Readonly<Record<string, string | readonly string[]>>;

/**
 * Settings for every git that instance and executor run. Repositories are untrusted. Nothing in one may make git run a
 * program, use a protocol that the caller did not allow, or keep malformed objects.
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
  // Following redirects would let a remote server choose which internal address git connects to (SSRF).
  "http.followRedirects": "false",
  // Closes stalled connections. This is the smallest limit, because git's keep-alive is only about one byte per second.
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
  /** PATH for git and its helpers. */
  readonly path: string;
  /** An empty directory to use as HOME. */
  readonly home: string;
  /**
   * Settings that extend or override the hardening. Put secrets here, because command lines are visible to other users.
   */
  readonly settings?: GitSettings;
}

/** The complete environment of a git that works on an untrusted repository. Needs `minimumGitVersion`. */
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
