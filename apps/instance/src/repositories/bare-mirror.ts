import { readFileSync } from "node:fs";
import { mkdir, readdir, rm, stat, writeFile } from "node:fs/promises";
import path from "node:path";
import { type GitLimits, isObjectId, type ObjectFormat, objectFormatOf } from "@airlock/git";
import { AirlockError, errorMessage, formatBytes, hideUrlCredentials, saysNoSpace } from "@airlock/job";
import { gitProxySettings, type ProxyServer } from "@airlock/proxy";
import { type GitEnvironment, GitError, runGit } from "./git.ts";
import { exceededBy, fetchMemoryBytes, type MirrorLimits, tooLarge, usedBytes, watchMirror } from "./mirror-limits.ts";
import type { RepositorySource } from "./repository-url.ts";

export interface BareMirrorOptions {
  readonly directory: string;
  /** Identity of what is mirrored. A directory with another identity belongs to another repository and is deleted. */
  readonly identity: string;
  readonly environment: GitEnvironment;
  /** A git configuration file that declares local repositories safe. Used only for sources of kind `local`. */
  readonly localConfigFile: string;
  readonly limits: MirrorLimits;
}

const fetchTimeoutMs = 30 * 60_000;
const localTimeoutMs = 60_000;
/** Limits the commits that are listed when an abbreviated id is also a name. More wouldn't help the user to choose. */
const maxAlternatives = 5;

/** A repository's bare mirror on disk: branches, tags, and single commits that were requested. */
export class BareMirror {
  readonly directory: string;
  readonly identity: string;
  readonly #environment: GitEnvironment;
  readonly #localConfigFile: string;
  readonly #limits: MirrorLimits;
  #opened = false;
  #format: ObjectFormat | null = null;
  #last: Promise<void> = Promise.resolve();

  constructor(options: BareMirrorOptions) {
    this.directory = options.directory;
    this.identity = options.identity;
    this.#environment = options.environment;
    this.#localConfigFile = options.localConfigFile;
    this.#limits = options.limits;
  }

  get exists(): boolean {
    // Written last when the mirror is created.
    return readIfThere(this.#identityFile) === this.identity;
  }

  /** Resolves once all fetches that began earlier have ended. */
  async idle(): Promise<void> {
    await this.#last;
  }

  get #identityFile(): string {
    return path.join(this.directory, "airlock-identity");
  }

  /**
   * Updates branches, tags and HEAD.
   * @throws {AirlockError} `repository-unavailable`, with git's message but without credentials.
   * `repository-too-large`: the mirror is unchanged, or deleted if it is new or now too large.
   */
  async fetch(source: RepositorySource, signal: AbortSignal): Promise<void> {
    await this.#alone(() => this.#fetch(source, signal));
  }

  async #fetch(source: RepositorySource, signal: AbortSignal): Promise<void> {
    await this.#open("sha1");
    const head = await this.#remoteHead(source, signal);
    const format = objectFormatOf(head.sha ?? "");
    if (format && format !== (await this.#objectFormat())) await this.#startOver(format);
    const refspecs = ["+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"];
    if (head.sha) refspecs.push("+HEAD:refs/airlock/HEAD");
    const args = [...fetchArgs, "--prune", "origin", ...refspecs];
    try {
      await this.#take(source, args, signal);
    } catch (error) {
      // Without a HEAD, only the fetch itself shows which object format the source has.
      if (!isFormatMismatch(error)) throw error;
      await this.#startOver((await this.#objectFormat()) === "sha1" ? "sha256" : "sha1");
      await this.#take(source, args, signal);
    }
    if (head.symref) await this.#local(["symbolic-ref", "HEAD", head.symref], signal);
    else if (head.sha) await this.#local(["update-ref", "--no-deref", "HEAD", head.sha], signal);
  }

  /**
   * Fetches one commit that no branch or tag contains. Returns `false` if git fails, e.g. because the source doesn't
   * have the commit or refuses to send it.
   */
  async fetchCommit(source: RepositorySource, sha: string, signal: AbortSignal): Promise<boolean> {
    try {
      await this.#alone(async () => {
        await this.#open(objectFormatOf(sha) ?? "sha1");
        await this.#take(source, [...fetchArgs, "origin", `+${sha}:refs/airlock/commits/${sha}`], signal);
      });
      return true;
    } catch (error) {
      if (error instanceof AirlockError && error.cause instanceof GitError) return false;
      throw error;
    }
  }

  /** Resolves a git expression to the full id of a commit, or `null`. */
  async resolve(expression: string, signal?: AbortSignal): Promise<string | null> {
    if (!this.exists) return null;
    try {
      const args = ["rev-parse", "--verify", "--quiet", "--end-of-options", `${expression}^{commit}`];
      const id = (await this.#local(args, signal)).trim();
      return isObjectId(id) ? id : null;
    } catch (error) {
      if (error instanceof GitError) return null;
      throw error;
    }
  }

  /** Whether the text is a full object id in this repository. Before the first fetch: in a repository of any format. */
  async isFullId(text: string): Promise<boolean> {
    return isObjectId(text, this.exists ? await this.#objectFormat() : undefined);
  }

  /** Returns those of the full names that are branches or tags, in the given order. */
  async existingReferences(names: readonly string[]): Promise<string[]> {
    if (!this.exists) return [];
    const listed = await this.#local(["for-each-ref", "--format=%(refname)", "--", ...names]);
    const existing = new Set(listed.split("\n"));
    return names.filter((name) => existing.has(name));
  }

  /** Ids of commits that begin with these digits, at most `maxAlternatives`. */
  async commitsBeginningWith(digits: string): Promise<string[]> {
    const ids = (await this.#local(["rev-parse", `--disambiguate=${digits}`])).split("\n").filter((id) => id !== "");
    const commits: string[] = [];
    for (const id of ids.slice(0, 100)) {
      if (commits.length < maxAlternatives && (await this.resolve(id)) === id) commits.push(id);
    }
    return commits;
  }

  sizeBytes(): Promise<number> {
    return usedBytes(this.directory);
  }

  async remove(): Promise<void> {
    this.#format = null;
    await rm(this.directory, { recursive: true, force: true });
  }

  async #objectFormat(): Promise<ObjectFormat> {
    this.#format ??= (await this.#local(["rev-parse", "--show-object-format"])).trim() === "sha256" ? "sha256" : "sha1";
    return this.#format;
  }

  /** Used when the source's object format changed, which makes the mirror useless. */
  async #startOver(format: ObjectFormat): Promise<void> {
    await this.remove();
    await this.#open(format);
  }

  /** @param format Object format for a mirror that doesn't exist yet. */
  async #open(format: ObjectFormat): Promise<void> {
    if (!this.exists) {
      await this.remove();
      await mkdir(path.dirname(this.directory), { recursive: true });
      // Without a template, git creates no sample hooks and no other unneeded files.
      const args = ["init", "--bare", "--quiet", "--template=", "--initial-branch=main"];
      await this.#local([...args, `--object-format=${format}`]);
      await writeFile(this.#identityFile, this.identity);
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
    const sha = /^([0-9a-f]{40}|[0-9a-f]{64})\tHEAD$/m.exec(text)?.[1] ?? null;
    return { symref, sha };
  }

  /** Runs one fetch at a time, so that leftovers of a failed fetch can't be confused with files being written. */
  async #alone(work: () => Promise<void>): Promise<void> {
    const turn = this.#last.then(work);
    this.#last = turn.catch(() => {}); // The caller gets the error.
    return turn;
  }

  /**
   * Fetches from the source within the limits. Past them, deletes the mirror if it is new or now too large. Otherwise
   * it stays as it was.
   */
  async #take(source: RepositorySource, args: readonly string[], signal: AbortSignal): Promise<void> {
    const fresh = (await this.resolve("HEAD", signal)) === null;
    const used = await usedBytes(this.directory);
    await using watch = watchMirror(this.directory, source, this.#limits);
    const fileBytes = Math.max(0, this.#limits.maxBytes - used);
    try {
      await this.#contact(source, args, AbortSignal.any([signal, watch.signal]), {
        fileBytes,
        memoryBytes: fetchMemoryBytes,
      });
      const exceeded = await exceededBy(this.directory, this.#limits);
      if (exceeded) throw tooLarge(source, exceeded);
    } catch (thrown) {
      // Not every transport reports why it could not write.
      const full = !signal.aborted && (await removeHalfFetched(this.directory)) >= fileBytes;
      const error = full ? tooLarge(source, `more than ${formatBytes(this.#limits.maxBytes)}`) : thrown;
      if (isTooLarge(error) && (fresh || (await exceededBy(this.directory, this.#limits)))) await this.remove();
      throw error;
    }
  }

  async #contact(
    source: RepositorySource,
    args: readonly string[],
    signal: AbortSignal,
    limits: GitLimits = { memoryBytes: fetchMemoryBytes },
  ): Promise<string> {
    const address = withoutArguments(source);
    const proxy = source.kind === "remote" ? proxyTo(source, this.#environment) : null;
    try {
      return await runGit(
        this.#environment,
        {
          gitDirectory: this.directory,
          args,
          config: {
            "remote.origin.url": address.url,
            "protocol.file.allow": source.kind === "local" ? "always" : "never",
            "pack.threads": "1",
            ...address.config,
            ...gitProxySettings(proxy, null),
          },
          env: {
            GIT_ALLOW_PROTOCOL: source.allowedProtocols,
            ...address.env,
            // git drops command-line configuration when it starts the other side. A file reaches both.
            ...(source.kind === "local" ? { GIT_CONFIG_GLOBAL: this.#localConfigFile } : {}),
          },
          limits,
        },
        { timeoutMs: fetchTimeoutMs, signal },
      );
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof GitError && /File too large/.test(error.stderr)) {
        throw tooLarge(source, `more than ${formatBytes(this.#limits.maxBytes)}`);
      }
      if (error instanceof GitError && /out of memory/i.test(error.stderr)) {
        throw tooLarge(source, `git needs more than ${formatBytes(fetchMemoryBytes)} of memory to store it`);
      }
      throw unavailable(source, proxy, error);
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

function readIfThere(file: string): string | null {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw error;
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
  // A shallow source (a checkout with --depth 1) lacks the history before its first commits, and so does the mirror.
  "--update-shallow",
  "--refmap=",
] as const;

/**
 * The source without credentials in git's arguments, which every process on the machine can read. Credentials go into
 * the environment, and are for this host only.
 */
function withoutArguments(source: RepositorySource): {
  readonly url: string;
  readonly config: Readonly<Record<string, string>>;
  readonly env: Readonly<Record<string, string>>;
} {
  if (source.kind === "local" || !source.hasCredentials) return { url: source.url, config: {}, env: {} };
  const url = new URL(source.url);
  const env = {
    AIRLOCK_GIT_USERNAME: decodeURIComponent(url.username),
    AIRLOCK_GIT_PASSWORD: decodeURIComponent(url.password),
  };
  url.username = "";
  url.password = "";
  return { url: url.href, config: { [`credential.${url.origin}.helper`]: credentialHelper }, env };
}

const credentialHelper =
  '!answer() { test "$1" = get && printf "username=%s\\npassword=%s\\n" "$AIRLOCK_GIT_USERNAME" "$AIRLOCK_GIT_PASSWORD"; }; answer';

function isFormatMismatch(error: unknown): boolean {
  const cause = error instanceof AirlockError ? error.cause : undefined;
  const said = /mismatched algorithms|does not support this repository's object format/;
  return cause instanceof GitError && said.test(cause.stderr);
}

function isTooLarge(error: unknown): boolean {
  return error instanceof AirlockError && error.code === "repository-too-large";
}

/** Deletes the files that a stopped git was writing. Returns the size of the largest. */
async function removeHalfFetched(directory: string): Promise<number> {
  let largest = 0;
  for (const entry of await readdir(path.join(directory, "objects"), { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() || !/^\.?tmp[-_]|\.temp$/.test(entry.name)) continue;
    const file = path.join(entry.parentPath, entry.name);
    largest = Math.max(largest, (await stat(file)).size);
    await rm(file, { force: true });
  }
  return largest;
}

/** Addresses of the form `USER@HOST:PATH` are ssh, which takes no proxy. */
function proxyTo({ url }: RepositorySource, { proxies }: GitEnvironment): ProxyServer | null {
  const parsed = URL.parse(url);
  return parsed && proxies.forUrl(parsed);
}

function unavailable(source: RepositorySource, proxy: ProxyServer | null, cause: unknown): AirlockError {
  const text = cause instanceof GitError ? cause.stderr : errorMessage(cause);
  // git's messages repeat the URL.
  const shown = hideUrlCredentials(text.replaceAll(source.url, source.displayUrl));
  const line = shown
    .split("\n")
    .map((candidate) => candidate.replace(/^(?:fatal|error|remote): /, "").trim())
    .find((candidate) => candidate !== "");
  const way = proxy ? ` through the proxy ${proxy.url.origin}` : "";
  return new AirlockError(`cannot fetch ${source.displayUrl}${way}: ${line ?? "git failed"}`, {
    code: "repository-unavailable",
    hint: hintFor(source, proxy, text),
    reason: "checkout-unavailable",
    cause,
  });
}

function hintFor(source: RepositorySource, proxy: ProxyServer | null, text: string): string {
  // Lines that start with "remote:" are about the disk of the other side.
  if (text.split("\n").some((line) => !line.startsWith("remote:") && saysNoSpace(line))) {
    return "Free space on the disk of the instance's data directory, which is full.";
  }
  if (
    proxy &&
    /resolve proxy|CONNECT tunnel failed|from proxy after CONNECT|error: 407|Could(?:n't| not) connect/i.test(text)
  ) {
    return `Check ${proxy.variable} of the instance, its user and password, and what the proxy allows; NO_PROXY lists hosts to contact directly.`;
  }
  if (/error: 30[12378]|redirect/i.test(text)) {
    return "The server redirects, and the instance does not follow redirects. Use the new address; often it only adds https:// or .git.";
  }
  if (/Authentication failed|could not read Username|Permission denied|403|401/.test(text)) {
    return "Add credentials with read access to the URL, or make the repository public.";
  }
  if (source.kind === "local") return "Check that the path is a git repository that the instance's account can read.";
  return "Check the URL, and that the instance can reach the host.";
}

/** A killed git leaves lock files, with which every later git would refuse to work. */
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
