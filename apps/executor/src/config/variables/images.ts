import { type ImagePattern, parseImagePattern } from "@airlock/runtime";
import { z } from "zod";
import { flag, sizeBytes } from "../values/environment-values.ts";
import { parseRegistryAuth } from "../values/parse-registry-auth.ts";

/** Images. */
export const imagesVariables = {
  EXECUTOR_IMAGE_PULL_POLICY: z
    .enum(["if-not-present", "always", "never"], { error: "must be if-not-present, always or never" })
    .default("if-not-present")
    .meta({
      description:
        "Whether the registry is asked about an image whose tag is here already: not; each time, and what has not changed is not transferred again; or nothing is ever pulled, and only images that were loaded or pulled before run. An image that took credentials is in any case given only to jobs whose credentials may read it.",
    }),
  EXECUTOR_IMAGE_REQUIRE_DIGEST: flag(false).meta({
    description: "Whether images must be named by their digest (`NAME@sha256:…`).",
  }),
  EXECUTOR_ALLOWED_IMAGES: patterns().meta({
    description:
      "Images that jobs may use, all others are refused. `*` stands for any characters; a pattern without a tag means all versions, one with a tag no digest. Patterns are spelled like references (`alpine` is `docker.io/library/alpine`); `host` is the host's own tool chain.",
    default: "all",
    values:
      "patterns, separated by commas: `docker.io/library/*`, `registry.example.com/team/*:1.*`, `*.example.com/*`",
  }),
  EXECUTOR_DENIED_IMAGES: patterns().meta({
    description:
      "Images that no job may use, also where they are allowed. A pattern with a tag means the digests of the same repository, too, since any of them may be that tag.",
    default: "none",
    values: "patterns as in EXECUTOR_ALLOWED_IMAGES",
  }),
  EXECUTOR_DOCKER_REGISTRY_MIRROR_URL: z
    .string()
    .optional()
    .transform((text, context) =>
      (text ?? "")
        .split(",")
        .map((part) => part.trim())
        .filter((part) => part !== "")
        .flatMap((part) => {
          const url = URL.parse(part);
          const isPlain = url && url.pathname === "/" && url.search === "" && url.hash === "" && url.username === "";
          if (url && isPlain && url.password === "" && ["http:", "https:"].includes(url.protocol)) return [url];
          context.addIssue({
            code: "custom",
            // The message must not quote the text, because people write passwords into addresses.
            message: "has an address that is not http://HOST[:PORT] or https://HOST[:PORT]",
          });
          return [];
        }),
    )
    .meta({
      description:
        "Pull-through caches of docker.io, asked in this order and without credentials before docker.io itself. For the docker runtime, the engine pulls from them by name and has to trust them: list one of plain HTTP in its `insecure-registries`.",
      default: "none",
      values: "addresses without a path, separated by commas",
    }),
  EXECUTOR_IMAGE_CACHE_SIZE: sizeBytes("50G").meta({
    description:
      "Bound of what images take on the disk: those that were used longest ago are removed, except those in use. The docker runtime removes only what this executor had the engine pull. 0: no bound.",
  }),
  EXECUTOR_DOCKER_AUTH_CONFIG: z
    .string()
    .optional()
    .transform((text, context) => {
      if (text === undefined) return undefined;
      const parsed = parseRegistryAuth(text);
      if (parsed === undefined)
        context.addIssue({
          code: "custom",
          message: 'is not {"auths":{"REGISTRY":{"auth":"base64 of USER:PASSWORD"}}}',
        });
      return parsed ?? {};
    })
    .meta({
      description: "Credentials of image registries; a job's own win over them.",
      default: "none",
      values: '`{"auths":{"REGISTRY":{"auth":"base64 of USER:PASSWORD"}}}`, as Docker\'s config.json has it',
    }),
  DOCKER_CONFIG: z.string().optional().meta({
    description:
      "Directory with Docker's config.json, whose credentials, credential helpers (`credHelpers`) and store (`credsStore`) are used where EXECUTOR_DOCKER_AUTH_CONFIG is not set.",
    default: "~/.docker",
    values: "a path",
  }),
  EXECUTOR_REGISTRY_CERTS_DIR: z
    .string()
    .startsWith("/", "is not an absolute path")
    .default("/etc/docker/certs.d")
    .meta({
      description:
        "Certificates of registries for the oci runtime, as Docker has them: `HOST[:PORT]/*.crt` are further authorities, `HOST[:PORT]/NAME.cert` and `NAME.key` are the client's own. A Docker engine reads its own directory.",
      values: "a path",
    }),
  EXECUTOR_STEP_CA_CERTIFICATES: flag(false).meta({
    description:
      "Whether steps trust the authorities of NODE_EXTRA_CA_CERTS, too: they find them, together with the public ones, in a read-only file below `/airlock`, which SSL_CERT_FILE, GIT_SSL_CAINFO, REQUESTS_CA_BUNDLE and CURL_CA_BUNDLE name (and NODE_EXTRA_CA_CERTS those alone), unless the step sets these. Authorities that only the image knows are not in that file.",
  }),
};

function patterns() {
  return z
    .string()
    .optional()
    .transform((text, context): readonly ImagePattern[] | undefined => {
      if (text === undefined) return undefined;
      return text
        .split(",")
        .filter((part) => part.trim() !== "")
        .flatMap((part) => {
          try {
            return [parseImagePattern(part)];
          } catch (error) {
            if (!(error instanceof RangeError)) throw error;
            context.addIssue({ code: "custom", message: `is wrong: ${error.message}` });
            return [];
          }
        });
    });
}
