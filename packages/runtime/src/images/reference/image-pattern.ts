import { canonicalRegistry, type ImageReference } from "./image-reference.ts";

/** A pattern of images in the configuration: `docker.io/library/*`, `registry.example.com/team/app:1.*`, `*`. */
export interface ImagePattern {
  /** The pattern as written, for messages. */
  readonly text: string;
  /** Pattern for `REGISTRY/REPOSITORY`, in canonical form. */
  readonly name: string;
  /** Pattern for a tag (`:1.*`) or a digest (`@sha256:*`), with its first character. `null`: any version. */
  readonly version: string | null;
}

/** The name of the host's own tool chain, in jobs and in patterns. */
const hostName = "host";

/**
 * Parses a pattern, in which `*` matches any characters, including `/`. It is completed like a reference: the default
 * registry is `docker.io`, and a single name is below `library/`. The registry is a host, `*.DOMAIN`, or `*`. Any other
 * `*` in it, as in `registry.example.com*`, would also match hosts of strangers.
 * @throws {RangeError} whose message tells what is wrong.
 */
export function parseImagePattern(text: string): ImagePattern {
  const trimmed = text.trim();
  if (trimmed === hostName) return { text: trimmed, name: trimmed, version: null };
  if (!/^[\w.*/:@[\]-]{1,512}$/.test(trimmed)) throw new RangeError(`"${trimmed}" is not an image pattern`);
  const { name, version } = splitVersion(trimmed);
  if (name === "*") return { text: trimmed, name, version };
  const slash = name.indexOf("/");
  if (slash < 0 && name.includes(".")) {
    throw new RangeError(`"${trimmed}" may be a registry or a name: write HOST/* or docker.io/library/NAME`);
  }
  const first = slash < 0 ? "" : name.slice(0, slash);
  const namesRegistry = /[.:[]/.test(first) || first === "localhost" || first === "*";
  const registry = namesRegistry ? patternRegistry(first) : "docker.io";
  if (registry === undefined) {
    throw new RangeError(
      `"${trimmed}" has a registry that is neither a host, nor *.DOMAIN, nor * (write HOST/* for all of it)`,
    );
  }
  const path = namesRegistry ? name.slice(slash + 1) : name;
  if (path === "") throw new RangeError(`"${trimmed}" has no repository name: write HOST/* for a whole registry`);
  if (path !== path.toLowerCase())
    throw new RangeError(`"${trimmed}" can match nothing: repositories are in lower case`);
  const isOfficial = registry === "docker.io" && !path.includes("/") && path !== "*";
  return { text: trimmed, name: `${registry}/${isOfficial ? "library/" : ""}${path}`, version };
}

function splitVersion(text: string): { readonly name: string; readonly version: string | null } {
  const at = text.indexOf("@");
  const colon = text.lastIndexOf(":", at < 0 ? undefined : at);
  const tag = colon > text.lastIndexOf("/", at < 0 ? undefined : at) ? colon : -1;
  const name = text.slice(0, tag >= 0 ? tag : at >= 0 ? at : undefined);
  // If a reference has both, only the digest counts.
  if (at >= 0) return { name, version: text.slice(at) };
  return { name, version: tag >= 0 ? text.slice(tag) : null };
}

function patternRegistry(text: string): string | undefined {
  if (text === "*") return text;
  if (!text.startsWith("*.")) return canonicalRegistry(text);
  const domain = canonicalRegistry(text.slice(2));
  return domain === undefined ? undefined : `*.${domain}`;
}

/** Whether a pattern matches this image or the host's tool chain. */
export function matchesImage(pattern: ImagePattern, image: ImageReference | typeof hostName): boolean {
  if (image === hostName) return (pattern.name === "*" && pattern.version === null) || pattern.name === hostName;
  if (!matchesName(pattern, image)) return false;
  const { kind, text } = image.version;
  return pattern.version === null || matchesGlob(pattern.version, `${kind === "tag" ? ":" : "@"}${text}`);
}

/**
 * Whether a pattern could match this image: any digest of the same repository may belong to any tag, and vice versa.
 */
export function mayMatchImage(pattern: ImagePattern, image: ImageReference | typeof hostName): boolean {
  if (matchesImage(pattern, image)) return true;
  if (image === hostName || pattern.version === null || !matchesName(pattern, image)) return false;
  return pattern.version.startsWith(image.version.kind === "tag" ? "@" : ":");
}

function matchesName({ name }: ImagePattern, { registry, repository }: ImageReference): boolean {
  if (name === "*") return true;
  if (name === hostName) return false;
  const slash = name.indexOf("/");
  // Match registry and path separately, so that a `*` in the registry can't extend into the path.
  return matchesGlob(name.slice(0, slash), registry) && matchesGlob(name.slice(slash + 1), repository);
}

/** Matches without backtracking: each part between stars is searched once, after the end of the previous one. */
export function matchesGlob(glob: string, text: string): boolean {
  const parts = glob.split("*");
  const first = parts[0] ?? "";
  const last = parts.at(-1) ?? "";
  if (parts.length === 1) return glob === text;
  if (text.length < first.length + last.length || !text.startsWith(first) || !text.endsWith(last)) return false;
  const end = text.length - last.length;
  let position = first.length;
  for (const part of parts.slice(1, -1)) {
    const found = text.indexOf(part, position);
    if (found < 0 || found + part.length > end) return false;
    position = found + part.length;
  }
  return true;
}
