import { AirlockError, formatBytes } from "@airlock/job";

/** The image is unknown, malformed or may not be read: the job's fault. */
export function imageInvalid(image: string, problem: string, cause?: unknown): AirlockError {
  const hint = "Check the image's name and tag, and that this executor's registry credentials may read it.";
  return imageUnusable(image, problem, hint, cause);
}

/** The image is there, and its content or configuration keeps it from running as it is: the job's fault. */
export function imageUnusable(image: string, problem: string, hint: string, cause?: unknown): AirlockError {
  return new AirlockError(`image "${image}" ${problem}`, {
    code: "image-invalid",
    reason: "image-invalid",
    hint,
    cause,
  });
}

/** The memory limit of the job does not suffice to start a step. */
export function memoryTooSmall(image: string, memoryBytes: number): AirlockError {
  const limit = formatBytes(memoryBytes);
  return new AirlockError(`the job's memory limit of ${limit} is too small to start image "${image}"`, {
    code: "out-of-memory",
    reason: "out-of-memory",
    hint: "Ask for more (resources.memory).",
  });
}

/** The image could not be had now, for a reason that may pass. */
export function imageUnavailable(
  image: string,
  cause: unknown,
  hint = "Check that the registry answers from this executor's machine.",
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

/** The job asks for what this executor does not allow or can't enforce. */
export function refusedByPolicy(what: string, hint: string): AirlockError {
  return new AirlockError(what, { code: "policy", reason: "policy", hint });
}
