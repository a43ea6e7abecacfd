import { imageInvalid } from "../../errors.ts";

/** Where an image is: `docker.io/library/alpine:3.20`, `registry.example.com:5000/team/app@sha256:…`. */
export interface ImageReference {
  /** As written in references, e.g. `docker.io`, `localhost:5000`. */
  readonly registry: string;
  /** E.g. `library/alpine`. */
  readonly repository: string;
  /** What the registry is asked for: a tag or a digest; the digest wins where a reference has both. */
  readonly version: { readonly kind: "tag" | "digest"; readonly text: string };
  /** The same for every spelling of one reference. */
  readonly canonical: string;
}

const component = "[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*";
const namePattern = new RegExp(`^${component}(?:/${component})*$`);
const registryPattern =
  /^(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)*|\[[0-9a-fA-F:]+\])(?::\d{1,5})?$/;
const tagPattern = /^\w[\w.-]{0,127}$/;
export const digestPattern = /^sha256:[0-9a-f]{64}$/;

/**
 * Parses a reference as Docker does: registry `docker.io`, prefix `library/` and tag `latest` where they are left out.
 * https://github.com/distribution/reference
 * @throws {AirlockError} reason `image-invalid`.
 */
export function parseImageReference(text: string): ImageReference {
  const malformed = (problem: string) => imageInvalid(text.slice(0, 300), `is no image reference: ${problem}`);
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
  const registry = isRegistry ? (first === "index.docker.io" ? "docker.io" : first) : "docker.io";
  const path = isRegistry ? name.slice(slash + 1) : name;
  if (!registryPattern.test(registry)) throw malformed("bad registry");
  if (!namePattern.test(path)) throw malformed("bad name, write it in lower case as REGISTRY/PATH:TAG");
  const repository = registry === "docker.io" && !path.includes("/") ? `library/${path}` : path;
  if (repository.length > 255) throw malformed("the name is too long");

  if (digest !== undefined) {
    const version = { kind: "digest", text: digest } as const;
    return { registry, repository, version, canonical: `${registry}/${repository}@${digest}` };
  }
  const version = { kind: "tag", text: tag ?? "latest" } as const;
  return { registry, repository, version, canonical: `${registry}/${repository}:${version.text}` };
}
