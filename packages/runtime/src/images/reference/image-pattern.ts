import { canonicalRegistry, type ImageReference } from "./image-reference.ts";

/** Which images an administrator means: `docker.io/library/*`, `registry.example.com/team/app:1.*`, `*`. */
export interface ImagePattern {
  /** As it was written, for people. */
  readonly text: string;
  /** Of `REGISTRY/REPOSITORY`, in the one spelling that references have. */
  readonly name: string;
  /** Of a tag (`:1.*`) or a digest (`@sha256:*`), with its first character; `null`: any version. */
  readonly version: string | null;
}

/** The host's own tool chain, as images and patterns name it. */
const hostName = "host";

/**
 * Reads a pattern, in which `*` stands for any characters, `/` too. It is spelled like a reference: without a registry it
 * is one of `docker.io`, and a single name stands below `library/`. The registry is a host, `*.DOMAIN`, or `*`: anything
 * else with a `*`, like `registry.example.com*`, would also match the hosts of strangers.
 * @throws {RangeError} whose message says what is wrong with it.
 */
export function parseImagePattern(text: string): ImagePattern {
  const trimmed = text.trim();
  if (trimmed === hostName) return { text: trimmed, name: trimmed, version: null };
  if (!/^[\w.*/:@[\]-]{1,512}$/.test(trimmed)) throw new RangeError(`"${trimmed}" is no pattern of images`);
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
  if (path === "") throw new RangeError(`"${trimmed}" names no repository: write HOST/* for all of a registry`);
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
  // Where a reference has both, the digest is what counts.
  if (at >= 0) return { name, version: text.slice(at) };
  return { name, version: tag >= 0 ? text.slice(tag) : null };
}

function patternRegistry(text: string): string | undefined {
  if (text === "*") return text;
  if (!text.startsWith("*.")) return canonicalRegistry(text);
  const domain = canonicalRegistry(text.slice(2));
  return domain === undefined ? undefined : `*.${domain}`;
}

/** Whether a pattern means this image, or the host's tool chain. */
export function matchesImage(pattern: ImagePattern, image: ImageReference | typeof hostName): boolean {
  if (image === hostName) return (pattern.name === "*" && pattern.version === null) || pattern.name === hostName;
  if (!matchesName(pattern, image)) return false;
  const { kind, text } = image.version;
  return pattern.version === null || matchesGlob(pattern.version, `${kind === "tag" ? ":" : "@"}${text}`);
}

/**
 * Whether a pattern may mean this image: a digest of the same repository may be that of any tag, and the tag the one of
 * any digest.
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
  // Apart, so that no * of the registry reaches into the path.
  return matchesGlob(name.slice(0, slash), registry) && matchesGlob(name.slice(slash + 1), repository);
}

/** Each part between stars is looked for once, from where the one before it ended: no pattern makes it go back. */
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
