import { existsSync } from "node:fs";
import { mkdir, readdir, rm, stat } from "node:fs/promises";
import path from "node:path";
import { AirlockError, errorMessage } from "@airlock/job";
import { type GitEnvironment, GitError, runGit } from "./git.ts";
import type { RepositorySource } from "./repository-url.ts";

export interface BareMirrorOptions {
  readonly directory: string;
  readonly environment: GitEnvironment;
  /** A file of git configuration that declares local repositories safe; only for sources of kind `local`. */
  readonly localConfigFile: string;
}

const fetchTimeoutMs = 30 * 60_000;
const localTimeoutMs = 60_000;
const fullSha = /^[0-9a-f]{40}$/;

/** One repository's bare mirror on disk: branches, tags, and whatever single commits were asked for. */
export class BareMirror {
  readonly directory: string;
  readonly #environment: GitEnvironment;
  readonly #localConfigFile: string;
  #opened = false;

  constructor(options: BareMirrorOptions) {
    this.directory = options.directory;
    this.#environment = options.environment;
    this.#localConfigFile = options.localConfigFile;
  }

  get exists(): boolean {
    return existsSync(path.join(this.directory, "HEAD"));
  }

  /**
   * Brings branches, tags and HEAD up to date.
   * @throws {AirlockError} `repository-unavailable`, with git's words, and no credentials in them.
   */
  async fetch(source: RepositorySource, signal: AbortSignal): Promise<void> {
    await this.#open();
    const head = await this.#remoteHead(source, signal);
    const refspecs = ["+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"];
    if (head.sha) refspecs.push("+HEAD:refs/airlock/HEAD");
    await this.#contact(source, [...fetchArgs, "--prune", "origin", ...refspecs], signal);
    if (head.symref) await this.#local(["symbolic-ref", "HEAD", head.symref], signal);
    else if (head.sha) await this.#local(["update-ref", "--no-deref", "HEAD", head.sha], signal);
  }

  /** Fetches one commit that no branch or tag leads to. `false`: the source does not have it or does not give it out. */
  async fetchCommit(source: RepositorySource, sha: string, signal: AbortSignal): Promise<boolean> {
    await this.#open();
    try {
      await this.#contact(source, [...fetchArgs, "origin", `+${sha}:refs/airlock/commits/${sha}`], signal);
      return true;
    } catch (error) {
      if (error instanceof AirlockError && error.cause instanceof GitError) return false;
      throw error;
    }
  }

  /** Full SHA of the commit that a revision names, or `null`. */
  async resolve(revision: string, signal?: AbortSignal): Promise<string | null> {
    if (!this.exists) return null;
    try {
      const args = ["rev-parse", "--verify", "--quiet", "--end-of-options", `${revision}^{commit}`];
      const sha = (await this.#local(args, signal)).trim();
      return fullSha.test(sha) ? sha : null;
    } catch (error) {
      if (error instanceof GitError) return null;
      throw error;
    }
  }

  /** Whether a revision is a tag: those do not move, so a known one needs no fetch. */
  async isTag(revision: string): Promise<boolean> {
    try {
      await this.#local(["show-ref", "--verify", "--quiet", "--", `refs/tags/${revision}`]);
      return true;
    } catch (error) {
      if (error instanceof GitError) return false;
      throw error;
    }
  }

  async sizeBytes(): Promise<number> {
    let total = 0;
    for (const entry of await readdir(this.directory, { recursive: true, withFileTypes: true })) {
      if (!entry.isFile()) continue;
      const stats = await stat(path.join(entry.parentPath, entry.name)).catch(() => null); // Replaced by a fetch.
      total += stats?.size ?? 0;
    }
    return total;
  }

  async remove(): Promise<void> {
    await rm(this.directory, { recursive: true, force: true });
  }

  async #open(): Promise<void> {
    if (!this.exists) {
      await mkdir(path.dirname(this.directory), { recursive: true });
      // Without a template: no sample hooks, no description, nothing that git did not need.
      const args = ["init", "--bare", "--quiet", "--template=", "--initial-branch=main"];
      await this.#local(args);
    } else if (!this.#opened) {
      await removeLockFiles(this.directory);
    }
    this.#opened = true;
  }

  async #remoteHead(
    source: RepositorySource,
    signal: AbortSignal,
  ): Promise<{ readonly symref: string | null; readonly sha: string | null }> {
    const text = await this.#contact(source, ["ls-remote", "--symref", "origin", "HEAD"], signal);
    const symref = /^ref: (refs\/heads\/[^\t\n]+)\tHEAD$/m.exec(text)?.[1] ?? null;
    const sha = /^([0-9a-f]{40})\tHEAD$/m.exec(text)?.[1] ?? null;
    return { symref, sha };
  }

  async #contact(source: RepositorySource, args: readonly string[], signal: AbortSignal): Promise<string> {
    try {
      return await runGit(
        this.#environment,
        {
          gitDirectory: this.directory,
          args,
          config: {
            "remote.origin.url": source.url,
            "protocol.file.allow": source.kind === "local" ? "always" : "never",
            "http.followRedirects": source.hasCredentials ? "false" : "initial",
          },
          env: {
            GIT_ALLOW_PROTOCOL: source.allowedProtocols,
            // git drops command-line configuration when it starts the other side; a file reaches both.
            ...(source.kind === "local" ? { GIT_CONFIG_GLOBAL: this.#localConfigFile } : {}),
          },
        },
        { timeoutMs: fetchTimeoutMs, signal },
      );
    } catch (error) {
      signal.throwIfAborted();
      throw unavailable(source, error);
    }
  }

  #local(args: readonly string[], signal?: AbortSignal): Promise<string> {
    return runGit(
      this.#environment,
      { gitDirectory: this.directory, args },
      { timeoutMs: localTimeoutMs, ...(signal ? { signal } : {}) },
    );
  }
}

const fetchArgs = [
  "fetch",
  "--quiet",
  "--force",
  "--no-tags",
  "--no-auto-gc",
  "--no-write-fetch-head",
  "--no-recurse-submodules",
  // A shallow source (a checkout with --depth 1) has nothing before its first commits: then neither has the mirror.
  "--update-shallow",
  "--refmap=",
] as const;

function unavailable(source: RepositorySource, cause: unknown): AirlockError {
  const text = cause instanceof GitError ? cause.stderr : errorMessage(cause);
  // git repeats the URL it was given.
  const shown = text.replaceAll(source.url, source.displayUrl).replaceAll(/\/\/[^/@\s]+@/g, "//");
  const line = shown
    .split("\n")
    .map((candidate) => candidate.replace(/^(?:fatal|error|remote): /, "").trim())
    .find((candidate) => candidate !== "");
  return new AirlockError(`cannot fetch ${source.displayUrl}: ${line ?? "git failed"}`, {
    code: "repository-unavailable",
    hint: hintFor(source, text),
    reason: "checkout-unavailable",
    cause,
  });
}

function hintFor(source: RepositorySource, text: string): string {
  if (source.hasCredentials && /error: 30[1278]|redirect/i.test(text)) {
    return "A URL with credentials must not redirect: use the address that it leads to.";
  }
  if (/Authentication failed|could not read Username|Permission denied|403|401/.test(text)) {
    return "Put credentials that may read it into the URL, or make the repository readable.";
  }
  if (source.kind === "local") return "Check that the path is a git repository that the instance's account can read.";
  return "Check the URL, and that the instance reaches its host.";
}

/** A git that was killed leaves its lock files, and every later git would refuse to work. */
async function removeLockFiles(directory: string): Promise<void> {
  for (const entry of await readdir(directory, { withFileTypes: true })) {
    if (entry.isFile() && entry.name.endsWith(".lock")) await rm(path.join(directory, entry.name), { force: true });
  }
  for (const entry of await readdir(path.join(directory, "refs"), { recursive: true, withFileTypes: true })) {
    if (entry.isFile() && entry.name.endsWith(".lock")) {
      await rm(path.join(entry.parentPath, entry.name), { force: true });
    }
  }
}
