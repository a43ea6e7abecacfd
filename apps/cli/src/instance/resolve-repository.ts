import { stat } from "node:fs/promises";
import path from "node:path";
import { type AddRepositoryRequest, RepositoryList, RepositoryView } from "@airlock/api";
import { pause } from "@airlock/async";
import { AirlockError, hideAddressCredentials } from "@airlock/job";
import { UsageError } from "../context/command-error.ts";
import type { InstanceClient } from "./instance-client.ts";

export interface ResolveOptions {
  /** Base for relative paths; an absolute path. */
  readonly directory: string;
  readonly signal?: AbortSignal | undefined;
  /** Called with descriptions of slow operations, as safe text. */
  readonly progress: (text: string) => void;
  /** Called with the root of the checkout if the text is a path. */
  readonly onCheckout?: ((root: string) => void) | undefined;
}

/**
 * Resolves what a person wrote (a name, a URL or a path) to the name of a repository that the instance knows. Adds a
 * URL or path that the instance does not know yet, and waits for its first fetch.
 * @throws {AirlockError} `unknown-repository`, `repository-failed`, and the instance's errors.
 */
export async function resolveRepository(
  client: InstanceClient,
  text: string,
  options: ResolveOptions,
): Promise<string> {
  const { repositories } = await client.json(RepositoryList, "repositories", { signal: options.signal });
  const named = repositories.find(({ name }) => name === text);
  if (named) return (await ready(client, named, options)).name;
  const url = isUrl(text) ? text : await findRepositoryRoot(path.resolve(options.directory, text));
  if (url === undefined) {
    const known = repositories.slice(0, 8).map(({ name }) => name);
    throw new AirlockError(
      `"${hideAddressCredentials(text)}" is not a repository of the instance, a URL, or a git repository on this machine`,
      {
        code: "unknown-repository",
        hint:
          known.length > 0
            ? `The instance's repositories: ${known.join(", ")}; see \`airlock repo list\`.`
            : "Add one with `airlock repo add URL_OR_PATH`.",
      },
    );
  }
  if (!isUrl(text)) options.onCheckout?.(url);
  const same = repositories.find((repository) => repository.url === url || repository.url === `file://${url}`);
  if (same && same.state !== "failed") return (await ready(client, same, options)).name;
  return (await addRepository(client, { url }, options)).name;
}

/** Adds a repository and waits until it is fetched. A repository that is already known by this URL is not an error. */
export async function addRepository(
  client: InstanceClient,
  request: AddRepositoryRequest,
  options: ResolveOptions,
): Promise<RepositoryView> {
  options.progress(`adding the repository ${hideAddressCredentials(request.url)} …`);
  const added = await client.json(RepositoryView, "repositories", {
    method: "POST",
    body: request,
    signal: options.signal,
  });
  return ready(client, added, options);
}

/** Returns the URL for what `repo add` was given: a URL unchanged, a path as the root of its repository. */
export async function repositoryUrl(text: string, directory: string): Promise<string> {
  if (isUrl(text)) return text;
  const absolute = path.resolve(directory, text);
  const root = await findRepositoryRoot(absolute);
  if (root !== undefined) return root;
  throw new UsageError(
    `"${hideAddressCredentials(text)}" is neither a URL nor a path in a git repository`,
    "Give a URL such as https://git.example.com/team/app.git, or a path in a git checkout.",
    { code: "unknown-repository" },
  );
}

async function ready(
  client: InstanceClient,
  repository: RepositoryView,
  options: ResolveOptions,
): Promise<RepositoryView> {
  const { signal = new AbortController().signal } = options;
  let current = repository;
  for (let waitMs = 50; current.state === "cloning"; waitMs = Math.min(waitMs * 1.5, 1000)) {
    options.progress(`fetching ${current.name} …`);
    if (!(await pause(waitMs, signal))) signal.throwIfAborted();
    const { repositories } = await client.json(RepositoryList, "repositories", { signal: options.signal });
    const next = repositories.find(({ name }) => name === repository.name);
    if (!next) throw failed(repository.name, "the repository was removed");
    current = next;
  }
  if (current.state === "failed") throw failed(current.name, current.error ?? "the instance could not fetch it");
  return current;
}

function failed(name: string, why: string): AirlockError {
  return new AirlockError(`the repository ${name} cannot be used: ${why}`, {
    code: "repository-failed",
    hint: "Check its URL, and that the instance is allowed to read it.",
  });
}

/** Recognizes `https://…`, `ssh://…`, and git's short form `user@host:path`. */
function isUrl(text: string): boolean {
  return /^[a-z][a-z0-9+.-]*:\/\//i.test(text) || /^[\w.-]+@[\w.-]+:(?!\/\/)/.test(text);
}

/** The nearest directory at or above a path that is a checkout, or the path itself if it is a bare repository. */
async function findRepositoryRoot(start: string): Promise<string | undefined> {
  // A misspelled repository name is a path that does not exist. It must not resolve to the enclosing checkout.
  if (!(await exists(start))) return undefined;
  for (let directory = start; ; directory = path.dirname(directory)) {
    if (await exists(path.join(directory, ".git"))) return directory;
    if (
      directory === start &&
      (await exists(path.join(directory, "HEAD"))) &&
      (await exists(path.join(directory, "objects")))
    ) {
      return directory;
    }
    if (directory === path.dirname(directory)) return undefined;
  }
}

async function exists(file: string): Promise<boolean> {
  return stat(file).then(
    () => true,
    () => false,
  );
}
