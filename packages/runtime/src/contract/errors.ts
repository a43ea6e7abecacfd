import { AirlockError } from "@airlock/job";

/** The image is unknown, malformed, not allowed or unusable: the job's fault. */
export function imageInvalid(image: string, problem: string, cause?: unknown): AirlockError {
  return new AirlockError(`image "${image}" ${problem}`, {
    code: "image-invalid",
    reason: "image-invalid",
    hint: "Check the image's name and tag, and that this executor's registry credentials may read it.",
    cause,
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
