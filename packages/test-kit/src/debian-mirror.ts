import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { promisify } from "node:util";

/** Where this machine gets its own distribution from. */
export interface DebianMirror {
  /** E.g. `bookworm`. */
  readonly suite: string;
  /** `http://…` or `https://…`. */
  readonly url: string;
  /** Separated by commas. */
  readonly components: string;
}

/** @throws {Error} where apt's configuration names no mirror of this machine's release, or the mirror does not answer. */
export async function findDebianMirror(): Promise<DebianMirror> {
  const release = await readFile("/etc/os-release", "utf8");
  const [, suite] = /^VERSION_CODENAME="?([a-z]+)/m.exec(release) ?? [];
  if (suite === undefined) throw new Error("this machine's release has no code name");
  // Asked of apt, which reads every form of its sources, and without its lists, which a fresh machine does not have.
  const { stdout } = await promisify(execFile)("apt-get", ["--print-uris", "update"], { env: { LC_ALL: "C" } });
  const urls = [...stdout.matchAll(/^'(https?:\/\/[^']+)\/dists\/([^/']+)\/InRelease'/gm)];
  const url = urls.find(([, , name]) => name === suite)?.[1];
  if (url === undefined) throw new Error(`apt's configuration names no mirror of ${suite}`);
  // Ubuntu keeps in a component of its own what Debian has in its main one.
  const components = /^ID="?ubuntu/m.test(release) ? "main,universe" : "main";
  return { suite, url, components };
}
