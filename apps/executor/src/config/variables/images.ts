import { type ImagePattern, parseImagePattern } from "@airlock/runtime";
import { z } from "zod";
import { flag, sizeBytes } from "../values/environment-values.ts";
import { parseRegistryAuth } from "../values/parse-registry-auth.ts";

/** Need not exist. */
export const usualCertificatesDirectory = "/etc/docker/certs.d";

/** Images. */
export const imagesVariables = {
  EXECUTOR_IMAGE_PULL_POLICY: z
    .enum(["if-not-present", "always", "never"], { error: "must be if-not-present, always or never" })
    .default("if-not-present")
    .meta({
      description:
        "When images are pulled. `if-not-present`: only if the tag is not stored here. `always`: before each job, but only parts that changed. `never`: only stored images run. A job can use a stored image that needed credentials only if its own credentials may read the image.",
    }),
  EXECUTOR_IMAGE_REQUIRE_DIGEST: flag(false).meta({
    description: "Whether jobs must name images by digest (`NAME@sha256:…`).",
  }),
  EXECUTOR_ALLOWED_IMAGES: patterns().meta({
    description:
      "Images that jobs may use; all others are refused. `*` matches any characters. A pattern without a tag matches all tags and digests; a pattern with a tag matches no digest. Short names are expanded (`alpine` means `docker.io/library/alpine`). `host` is this machine's own tool chain.",
    default: "all",
    values:
      "patterns, separated by commas: `docker.io/library/*`, `registry.example.com/team/*:1.*`, `*.example.com/*`",
  }),
  EXECUTOR_DENIED_IMAGES: patterns().meta({
    description:
      "Images that no job may use, even if they are allowed. A pattern with a tag also matches all digests of the repository, because any of them may have that tag.",
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
        "Pull-through caches of docker.io. They are asked in this order and without credentials, before docker.io itself. Docker daemons of jobs use those that the job's egress policy reaches. With the docker runtime the engine pulls from them and must trust them: list caches with plain HTTP in its `insecure-registries`.",
      default: "none",
      values: "addresses without a path, separated by commas",
    }),
  EXECUTOR_IMAGE_CACHE_SIZE: sizeBytes("50G").meta({
    description:
      "Maximum disk space for images. The least recently used ones are removed first, except those in use. The docker runtime removes only images that this executor pulled. 0: no limit.",
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
      description: "Credentials for image registries. A job's own credentials take precedence.",
      default: "none",
      values: '`{"auths":{"REGISTRY":{"auth":"base64 of USER:PASSWORD"}}}`, as Docker\'s config.json has it',
    }),
  DOCKER_CONFIG: z.string().optional().meta({
    description:
      "Directory with Docker's config.json. Its credentials, credential helpers (`credHelpers`) and store (`credsStore`) are used if EXECUTOR_DOCKER_AUTH_CONFIG is not set.",
    default: "~/.docker",
    values: "a path",
  }),
  EXECUTOR_REGISTRY_CERTS_DIR: z
    .string()
    .startsWith("/", "is not an absolute path")
    .default(usualCertificatesDirectory)
    .meta({
      description:
        "Certificates of registries for the oci and microvm runtimes, in Docker's layout: `HOST[:PORT]/*.crt` are additional authorities; `HOST[:PORT]/NAME.cert` and `NAME.key` are the client certificate and key. A Docker engine reads its own directory.",
      values: "a path",
    }),
  EXECUTOR_STEP_CA_CERTIFICATES: flag(false).meta({
    description:
      "Whether steps also trust the authorities in NODE_EXTRA_CA_CERTS. A read-only file below `/airlock` holds them and the public ones. SSL_CERT_FILE, GIT_SSL_CAINFO, REQUESTS_CA_BUNDLE and CURL_CA_BUNDLE name this file, unless the step sets them. NODE_EXTRA_CA_CERTS names a file with only the additional ones. Authorities that only the image knows are in neither file.",
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
