import { AirlockError } from "@airlock/job";
import type { MirrorSource } from "../cache/mirror.ts";
import { checkoutInvalid } from "../checkout/checkout-errors.ts";
import { isPlainPath } from "../checkout/plain-path.ts";

/** The source of a repository. */
export interface RepositorySource extends MirrorSource {
  /** The name on the instance, or the URL on another host. */
  readonly repository: string;
  /** Distinguishes repositories of the same name: the instance's URL, or the repository's own URL. */
  readonly scope: URL;
  /** Whether the instance serves the repository. Then the job's credentials must authorize each access. */
  readonly onInstance: boolean;
}

export interface SubmoduleHosts {
  /** Ends with `/`. */
  readonly instanceUrl: URL;
  /** The job's headers for the instance. Sent to no other host. */
  readonly instanceHeaders: Readonly<Record<string, string>>;
  /** `HOST[:PORT]` of other hosts that submodules may come from. These get no credentials. */
  readonly allowed: ReadonlySet<string>;
}

const maximumUrlLength = 2000;
const gitEndpoint = ".executors/git/";

/**
 * Resolves a URL in `.gitmodules` of a repository that came from `parent`. Everything in it is the author's choice. It
 * can name a repository of the instance, relative to the parent or by its full URL. It can also name one on a host that
 * the administrator allows, over HTTP or HTTPS only.
 * @throws {AirlockError} reason `checkout-invalid` for any other URL, `policy` for hosts that are not allowed.
 */
export function submoduleSource(url: string, parent: RepositorySource, hosts: SubmoduleHosts): RepositorySource {
  if (url.length > maximumUrlLength || !isPlainText(url)) throw notFetched(url, "it is not an address");
  if (/^\.\.?(?:\/|$)/.test(url)) return relativeTo(url, parent, hosts);
  if (!/^https?:\/\//i.test(url) || !URL.canParse(url)) {
    throw notFetched(url, "only addresses with http:// or https://, and relative ones, are fetched");
  }
  return absolute(new URL(url), url, hosts);
}

function relativeTo(url: string, parent: RepositorySource, hosts: SubmoduleHosts): RepositorySource {
  const base = parent.onInstance ? parent.repository : parent.url.pathname.replace(/^\/+/, "");
  const parts = base.split("/").filter((part) => part !== "");
  for (const part of url.split("/")) {
    if (part === "" || part === ".") continue;
    if (part !== "..") parts.push(part);
    else if (parts.pop() === undefined) throw notFetched(url, "it points to another host");
  }
  if (parts.length === 0) throw notFetched(url, "it names no repository");
  const path = parts.join("/");
  if (parent.onInstance) return onInstance(path, url, hosts);
  // The parent's host is already allowed, and a path can't lead to another host.
  return absolute(new URL(`/${path}`, parent.url), url, hosts);
}

function absolute(address: URL, url: string, hosts: SubmoduleHosts): RepositorySource {
  if (address.username !== "" || address.password !== "") throw notFetched(url, "it contains credentials");
  if (address.search !== "" || address.hash !== "") throw notFetched(url, "it has a query or a fragment");
  const endpoint = new URL(gitEndpoint, hosts.instanceUrl);
  if (address.href.startsWith(endpoint.href)) {
    return onInstance(decoded(address.href.slice(endpoint.href.length), url), url, hosts);
  }
  if (!hosts.allowed.has(address.host)) {
    throw new AirlockError(`a submodule is at ${address.host}, which this executor does not fetch submodules from`, {
      code: "policy",
      reason: "policy",
      hint: "The executor's administrator can allow hosts in EXECUTOR_GIT_SUBMODULE_HOSTS.",
    });
  }
  return { repository: address.href, scope: address, url: address, headers: {}, onInstance: false };
}

function onInstance(path: string, url: string, { instanceUrl, instanceHeaders }: SubmoduleHosts): RepositorySource {
  const repository = path.replace(/\/+$/, "").replace(/\.git$/, "");
  if (!isPlainPath(repository)) throw notFetched(url, "it is not a repository name");
  const address = new URL(gitEndpoint + repository.split("/").map(encodeURIComponent).join("/"), instanceUrl);
  return { repository, scope: instanceUrl, url: address, headers: instanceHeaders, onInstance: true };
}

function decoded(path: string, url: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    throw notFetched(url, "it is not an address");
  }
}

/** URL parsers drop some control characters and change backslashes. The checked URL must be the one that is fetched. */
function isPlainText(text: string): boolean {
  return text !== "" && [...text].every((character) => character > " " && character < "\x7f" && character !== "\\");
}

function notFetched(url: string, why: string): AirlockError {
  return checkoutInvalid(`a submodule's address ${JSON.stringify(url.slice(0, 200))} is not fetched: ${why}`);
}
