import { AirlockError } from "@airlock/job";

/** A repository's source, as git needs it. */
export interface RepositorySource {
  /** URL for git, with credentials. */
  readonly url: string;
  /** URL to show, without credentials. */
  readonly displayUrl: string;
  readonly kind: "remote" | "local";
  /** Value of GIT_ALLOW_PROTOCOL. git uses no other protocol, whatever redirects or configuration say. */
  readonly allowedProtocols: string;
  readonly hasCredentials: boolean;
  /** Names to use if the user gives none, best first. */
  readonly defaultNames: readonly [string, ...string[]];
}

const allowedProtocols: Readonly<Record<string, string>> = {
  "https:": "https",
  "http:": "http",
  "ssh:": "ssh",
  "git:": "git",
};

/**
 * Parses a repository's URL, `user@host:path`, or an absolute path.
 * @throws {AirlockError} `invalid-repository-url`, `local-repository-refused`.
 */
export function parseRepositoryUrl(text: string, options: { readonly allowLocal: boolean }): RepositorySource {
  // Control characters would get into configuration and logs. git transports treat a leading dash as an option.
  if (/\p{Cc}/u.test(text) || text.startsWith("-"))
    throw invalid("it contains characters that are not allowed in a URL");
  if (text.startsWith("/")) return local(text, options.allowLocal);
  const scp = /^(?:([A-Za-z0-9._][A-Za-z0-9._-]*)@)?([A-Za-z0-9][A-Za-z0-9.-]*):(?!\/\/)([^:]+)$/.exec(text);
  if (scp) {
    const [, user, host = "", path = ""] = scp;
    // Otherwise a user and a password would count as host and path, and would be shown.
    if (user === undefined && path.includes("@")) throw invalid("it looks like a user and a password without a scheme");
    if (path.startsWith("-")) throw invalid("its path begins with a dash");
    return {
      url: text,
      displayUrl: text,
      kind: "remote",
      allowedProtocols: "ssh",
      hasCredentials: false,
      defaultNames: [nameFrom(`${host}/${path}`)],
    };
  }
  if (!URL.canParse(text)) throw invalid("it is neither a URL nor an absolute path");
  const url = new URL(text);
  if (url.protocol === "file:") {
    if (url.hostname) throw invalid("a file URL names no host");
    return local(decode(url.pathname), options.allowLocal);
  }
  const protocols = allowedProtocols[url.protocol];
  // Don't quote what looks like the scheme: if the scheme is missing, it may be a user or a token.
  if (!protocols && text.includes("@")) throw invalid("it does not start with https://, http://, ssh:// or git://");
  if (!protocols) throw invalid(`"${url.protocol.slice(0, -1)}" is not https, http, ssh or git`);
  if (!url.hostname || url.hostname.startsWith("-")) throw invalid("it names no host");
  if (decode(url.username).startsWith("-")) throw invalid("its user begins with a dash");
  // ssh and git would put the password on a command line without using it.
  if (url.password !== "" && !/^https?:$/.test(url.protocol))
    throw invalid("only http and https URLs can contain a password");
  const hasCredentials = url.password !== "" || (url.username !== "" && url.protocol !== "ssh:");
  return {
    // Parsers differ on unusual URLs, so git gets the normalized URL that was checked.
    url: url.href,
    displayUrl: withoutCredentials(url),
    kind: "remote",
    allowedProtocols: protocols,
    hasCredentials,
    // Include the port: two servers on one host are different.
    defaultNames: [nameFrom(`${url.hostname}${portOf(url)}${url.pathname}`)],
  };
}

/** @throws {AirlockError} `invalid-repository-url` for bytes that are not UTF-8, such as `%ff`. */
function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw invalid("its percent-encoding is not valid text");
  }
}

function local(path: string, allowed: boolean): RepositorySource {
  if (!allowed) {
    throw new AirlockError("this instance does not allow repositories from local paths", {
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
    defaultNames: namesOfPath(path),
  };
}

/** Names from the end of a path, each longer than the one before: `app`, `team/app`, `me/team/app`, … */
function namesOfPath(path: string): [string, ...string[]] {
  const parts = path
    .replace(/\/+$/, "")
    .replace(/\/\.git$/, "")
    .split("/")
    .filter((part) => part !== "");
  const names = parts.map((_, index) => nameFrom(parts.slice(-index - 1).join("/")));
  const [first = "repository", ...others] = new Set(names);
  return [first, ...others];
}

/** `-8443`, or empty for the protocol's default port. */
function portOf({ protocol, port }: URL): string {
  const usual = { "ssh:": "22", "git:": "9418" }[protocol];
  return port === "" || port === usual ? "" : `-${port}`;
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
  return new AirlockError(`not a repository URL: ${problem}`, {
    code: "invalid-repository-url",
    hint: "Write it as https://HOST/PATH, ssh://USER@HOST/PATH, USER@HOST:PATH or git://HOST/PATH.",
  });
}
