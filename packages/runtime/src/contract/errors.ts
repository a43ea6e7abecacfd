import { AirlockError, formatBytes } from "@airlock/job";

/** The image is unknown, malformed or may not be read. This is the job's fault. */
export function imageInvalid(image: string, problem: string, cause?: unknown): AirlockError {
  const hint = "Check the image's name and tag, and that this executor's registry credentials may read it.";
  return imageUnusable(image, problem, hint, cause);
}

/** The image exists, but its content or configuration prevents it from running. This is the job's fault. */
export function imageUnusable(image: string, problem: string, hint: string, cause?: unknown): AirlockError {
  return new AirlockError(`image "${image}" ${problem}`, {
    code: "image-invalid",
    reason: "image-invalid",
    hint,
    cause,
  });
}

/** The image's index has no version for this machine. */
export function notMadeFor(image: string, platform: string): AirlockError {
  const hint = `Use an image whose index names the platform ${platform}, or build it for this platform.`;
  return imageUnusable(image, `is not built for ${platform}`, hint);
}

/** The job's memory limit is too small to start a step. */
export function memoryTooSmall(image: string, memoryBytes: number): AirlockError {
  const limit = formatBytes(memoryBytes);
  return new AirlockError(`the job's memory limit of ${limit} is too small to start image "${image}"`, {
    code: "out-of-memory",
    reason: "out-of-memory",
    hint: "Raise resources.memory.",
  });
}

/** The image can't be pulled now, for a reason that may be temporary. */
export function imageUnavailable(
  image: string,
  cause: unknown,
  hint = "Check that this executor's machine can reach the registry.",
): AirlockError {
  return new AirlockError(`cannot pull image "${image}"`, {
    code: "image-unavailable",
    reason: "image-unavailable",
    hint,
    cause,
  });
}

/** The sandbox technology itself failed. */
export function runtimeFailed(what: string, cause?: unknown, hint?: string): AirlockError {
  return new AirlockError(what, { code: "runtime", reason: "runtime", cause, ...(hint ? { hint } : {}) });
}

/** The job requests something that this executor does not allow or can't enforce. */
export function refusedByPolicy(what: string, hint: string): AirlockError {
  return new AirlockError(what, { code: "policy", reason: "policy", hint });
}
