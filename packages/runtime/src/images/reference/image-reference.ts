import { imageInvalid } from "../../contract/index.ts";

/** A parsed reference: `docker.io/library/alpine:3.20`, `registry.example.com:5000/team/app@sha256:…`. */
export interface ImageReference {
  /** Canonical host: `docker.io`, `localhost:5000`. Lower case, without the port 443. */
  readonly registry: string;
  /** E.g. `library/alpine`. */
  readonly repository: string;
  /** The tag or digest to request. The digest wins if a reference has both. */
  readonly version: { readonly kind: "tag" | "digest"; readonly text: string };
  /** The whole reference in canonical form. */
  readonly canonical: string;
}

const component = "[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*";
const namePattern = new RegExp(`^${component}(?:/${component})*$`);
const registryPattern =
  /^(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)*|\[[0-9a-fA-F:]+\])(?::\d{1,5})?$/;
const tagPattern = /^\w[\w.-]{0,127}$/;
export const digestPattern = /^sha256:[0-9a-f]{64}$/;

/**
 * Parses a reference as Docker does. Defaults: registry `docker.io`, prefix `library/`, tag `latest`.
 * https://github.com/distribution/reference
 * @throws {AirlockError} reason `image-invalid`.
 */
export function parseImageReference(text: string): ImageReference {
  const malformed = (problem: string) => imageInvalid(text.slice(0, 300), `is not an image reference: ${problem}`);
  if (text.length > 512) throw malformed("too long");

  const [withTag = "", digest, ...more] = text.split("@");
  if (more.length > 0) throw malformed("more than one @");
  if (digest !== undefined && !digestPattern.test(digest))
    throw malformed("the digest is not sha256 with 64 hex digits");

  const colon = withTag.lastIndexOf(":");
  const hasTag = colon > withTag.lastIndexOf("/");
  const tag = hasTag ? withTag.slice(colon + 1) : undefined;
  if (tag !== undefined && !tagPattern.test(tag)) throw malformed("bad tag");

  const name = hasTag ? withTag.slice(0, colon) : withTag;
  const slash = name.indexOf("/");
  const first = slash < 0 ? "" : name.slice(0, slash);
  const isRegistry = /[.:[]/.test(first) || first === "localhost" || first !== first.toLowerCase();
  const registry = isRegistry ? canonicalRegistry(first) : hub;
  const path = isRegistry ? name.slice(slash + 1) : name;
  if (registry === undefined) throw malformed("bad registry");
  if (!namePattern.test(path)) throw malformed("bad name, write it in lower case as REGISTRY/PATH:TAG");
  const repository = registry === hub && !path.includes("/") ? `library/${path}` : path;
  if (repository.length > 255) throw malformed("the name is too long");

  if (digest !== undefined) {
    const version = { kind: "digest", text: digest } as const;
    return { registry, repository, version, canonical: `${registry}/${repository}@${digest}` };
  }
  const version = { kind: "tag", text: tag ?? "latest" } as const;
  return { registry, repository, version, canonical: `${registry}/${repository}:${version.text}` };
}

const hub = "docker.io";
const hubAliases: ReadonlySet<string> = new Set(["index.docker.io", "registry-1.docker.io", "registry.hub.docker.com"]);

/**
 * Returns the canonical spelling of a registry's host. Policies and credentials must not depend on how a job writes it:
 * `Docker.IO`, `registry.example.com:443` and `0x7f.1:5000` all have another spelling. `undefined` if it is not a host.
 */
export function canonicalRegistry(text: string): string | undefined {
  if (!registryPattern.test(text)) return undefined;
  const url = URL.parse(`https://${text}`);
  if (!url) return undefined;
  if (hubAliases.has(url.host) || url.host === hub) return hub;
  // Over plain HTTP, as on the loopback, the default port is 80, so keep an explicit 443.
  return url.port === "" && /:0*443$/.test(text) && isLoopbackHost(url.hostname) ? `${url.host}:443` : url.host;
}

/** Whether a host is the loopback. Takes a host without port, as written by {@link canonicalRegistry}. */
export function isLoopbackHost(host: string): boolean {
  return /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])$/.test(host);
}
