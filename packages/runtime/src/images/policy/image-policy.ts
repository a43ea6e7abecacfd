import type { AirlockError } from "@airlock/job";
import { refusedByPolicy } from "../../contract/index.ts";
import { type ImagePattern, matchesImage, mayMatchImage } from "../reference/image-pattern.ts";
import { type ImageReference, parseImageReference } from "../reference/image-reference.ts";

/** When to ask the registry about an image whose tag is already on this machine. */
export type PullPolicy = "if-not-present" | "always" | "never";

/** Which images jobs may use, as the executor's administrator configured it. */
export interface ImagePolicy {
  /**
   * `always`: ask the registry what the tag means now, and transfer nothing if that image is here. `never`: use only
   * images that were loaded or pulled before. For an image that was pulled with credentials, the registry is still
   * asked whether the job's credentials may read it. Default: `if-not-present`.
   */
  readonly pull: PullPolicy;
  /** Whether images have to be named by their digest. Default: false. */
  readonly requireDigest: boolean;
  /** Only images that match one of these patterns are allowed. `null`: all. Default: all. */
  readonly allowed: readonly ImagePattern[] | null;
  /** Images that may match one of these patterns are denied, even if `allowed` matches. Default: none. */
  readonly denied: readonly ImagePattern[];
}

export const defaultImagePolicy: ImagePolicy = {
  pull: "if-not-present",
  requireDigest: false,
  allowed: null,
  denied: [],
};

/**
 * Parses the reference of an image that the policy allows.
 * @throws {AirlockError} reason `policy`, naming the pattern and the setting; `image-invalid` when the text is not a
 * reference.
 */
export function admitImage(text: string, policy: ImagePolicy): ImageReference {
  const reference = parseImageReference(text);
  checkPatterns(reference, reference.canonical, policy);
  if (policy.requireDigest && reference.version.kind !== "digest") {
    throw refusedByPolicy(
      `the image "${reference.canonical}" has no digest, which EXECUTOR_IMAGE_REQUIRE_DIGEST requires`,
      "Write it as NAME@sha256:….",
    );
  }
  return reference;
}

/** Checks the patterns for the image name `host`, which has no digest. */
export function admitHostImage(policy: ImagePolicy): void {
  checkPatterns("host", "host", policy);
}

function checkPatterns(image: ImageReference | "host", shown: string, { allowed, denied }: ImagePolicy): void {
  const denying = denied.find((pattern) => mayMatchImage(pattern, image));
  if (denying) throw refused(shown, `the pattern "${denying.text}" of EXECUTOR_DENIED_IMAGES`);
  if (allowed && !allowed.some((pattern) => matchesImage(pattern, image))) {
    const patterns = allowed.map(({ text }) => text).join(", ");
    const shownPatterns = patterns.length > 300 ? `${patterns.slice(0, 300)}…` : patterns;
    throw refused(shown, `EXECUTOR_ALLOWED_IMAGES, which has the patterns ${shownPatterns}`);
  }
}

function refused(image: string, by: string): AirlockError {
  return refusedByPolicy(
    `the image "${image}" is not allowed by ${by}`,
    "Use an image that this executor's administrator allows. A pattern with a tag does not match digests.",
  );
}
