import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { promisify } from "node:util";

/** The mirror from which this machine gets its own distribution. */
export interface DebianMirror {
  /** E.g. `bookworm`. */
  readonly suite: string;
  /** `http://…` or `https://…`. */
  readonly url: string;
  /** Separated by commas. */
  readonly components: string;
}

/**
 * Finds the mirror of this machine's distribution.
 * @throws {Error} when apt's configuration has no mirror of this machine's release or the mirror does not answer.
 */
export async function findDebianMirror(): Promise<DebianMirror> {
  const release = await readFile("/etc/os-release", "utf8");
  const [, suite] = /^VERSION_CODENAME="?([a-z]+)/m.exec(release) ?? [];
  if (suite === undefined) throw new Error("this machine's release has no code name");
  // Ask apt, which understands every format of its sources. Don't use its package lists, which a fresh machine does not
  // have.
  const { stdout } = await promisify(execFile)("apt-get", ["--print-uris", "update"], { env: { LC_ALL: "C" } });
  const urls = [...stdout.matchAll(/^'(https?:\/\/[^']+)\/dists\/([^/']+)\/InRelease'/gm)];
  const url = urls.find(([, , name]) => name === suite)?.[1];
  if (url === undefined) throw new Error(`apt's configuration names no mirror of ${suite}`);
  // Ubuntu has a separate component for packages that Debian has in its main one.
  const components = /^ID="?ubuntu/m.test(release) ? "main,universe" : "main";
  return { suite, url, components };
}
