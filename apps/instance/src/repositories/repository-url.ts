import { AirlockError } from "@airlock/job";

/** Where a repository comes from, as far as git needs to know it. */
export interface RepositorySource {
  /** As git is given it, credentials included. */
  readonly url: string;
  /** For people: without credentials. */
  readonly displayUrl: string;
  readonly kind: "remote" | "local";
  /** Value of GIT_ALLOW_PROTOCOL: git speaks nothing else, whatever redirects or configuration say. */
  readonly allowedProtocols: string;
  readonly hasCredentials: boolean;
  /** Name to use when none is given. */
  readonly defaultName: string;
}

const allowedProtocols: Readonly<Record<string, string>> = {
  "https:": "https",
  "http:": "http",
  "ssh:": "ssh",
  "git:": "git",
};

/**
 * Understands a URL of a repository, `user@host:path`, or an absolute path.
 * @throws {AirlockError} `invalid-repository-url`, `local-repository-refused`.
 */
export function parseRepositoryUrl(text: string, options: { readonly allowLocal: boolean }): RepositorySource {
  // Control characters would end up in configuration and logs; git transports treat a leading dash as an option.
  if (/\p{Cc}/u.test(text) || text.startsWith("-")) throw invalid("it holds characters that no URL has");
  if (text.startsWith("/")) return local(text, options.allowLocal);
  const scp = /^(?:([A-Za-z0-9._][A-Za-z0-9._-]*)@)?([A-Za-z0-9][A-Za-z0-9.-]*):(?!\/\/)([^:]+)$/.exec(text);
  if (scp) {
    const [, , host = "", path = ""] = scp;
    if (path.startsWith("-")) throw invalid("its path begins with a dash");
    const defaultName = nameFrom(`${host}/${path}`);
    return {
      url: text,
      displayUrl: text,
      kind: "remote",
      allowedProtocols: "ssh",
      hasCredentials: false,
      defaultName,
    };
  }
  if (!URL.canParse(text)) throw invalid("it is neither a URL nor an absolute path");
  const url = new URL(text);
  if (url.protocol === "file:") {
    if (url.hostname) throw invalid("a file URL names no host");
    return local(decode(url.pathname), options.allowLocal);
  }
  const protocols = allowedProtocols[url.protocol];
  if (!protocols) throw invalid(`"${url.protocol.slice(0, -1)}" is not https, http, ssh or git`);
  if (!url.hostname || url.hostname.startsWith("-")) throw invalid("it names no host");
  if (decode(url.username).startsWith("-")) throw invalid("its user begins with a dash");
  // Both would put it on a command line and use it for nothing.
  if (url.password !== "" && !/^https?:$/.test(url.protocol)) throw invalid("only http and https take a password");
  const hasCredentials = url.password !== "" || (url.username !== "" && url.protocol !== "ssh:");
  return {
    // Parsers differ over odd URLs: git gets the one that was checked.
    url: url.href,
    displayUrl: withoutCredentials(url),
    kind: "remote",
    allowedProtocols: protocols,
    hasCredentials,
    defaultName: nameFrom(`${url.hostname}${url.pathname}`),
  };
}

/** @throws {AirlockError} `invalid-repository-url` for bytes that are no UTF-8, as in `%ff`. */
function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw invalid("what its percent signs encode is no text");
  }
}

function local(path: string, allowed: boolean): RepositorySource {
  if (!allowed) {
    throw new AirlockError("this instance takes no repositories from local paths", {
      code: "local-repository-refused",
      hint: "Give a URL, or start the instance with AIRLOCK_ALLOW_LOCAL_REPOSITORIES=true.",
    });
  }
  return {
    url: path,
    displayUrl: path,
    kind: "local",
    allowedProtocols: "file",
    hasCredentials: false,
    defaultName: nameFrom(
      path
        .replace(/\/+$/, "")
        .replace(/\/\.git$/, "")
        .replace(/^.*\//, ""),
    ),
  };
}

function withoutCredentials(url: URL): string {
  const shown = new URL(url);
  shown.password = "";
  if (url.protocol !== "ssh:") shown.username = "";
  shown.search = "";
  shown.hash = "";
  return shown.href;
}

function nameFrom(path: string): string {
  const segments = path
    .split("/")
    .map((segment) =>
      segment
        .replace(/(?:\.git|\.lock)+$/, "")
        .replace(/[^A-Za-z0-9._-]/g, "-")
        .replace(/^[.-]+/, ""),
    )
    .filter((segment) => segment !== "");
  return segments.join("/").slice(0, 255) || "repository";
}

function invalid(problem: string): AirlockError {
  return new AirlockError(`not the URL of a repository: ${problem}`, {
    code: "invalid-repository-url",
    hint: "Write it as https://HOST/PATH, ssh://USER@HOST/PATH, USER@HOST:PATH or git://HOST/PATH.",
  });
}
