import { AirlockError } from "@airlock/job";

/** The repository, the commit or a path breaks a rule. The job's fault. */
export function checkoutInvalid(what: string, hint?: string): AirlockError {
  return new AirlockError(what, { code: "checkout-invalid", reason: "checkout-invalid", ...(hint ? { hint } : {}) });
}

/** The repository is unavailable for a reason that may pass. */
export function checkoutUnavailable(
  what: string,
  hint = "Check that the instance is running and can reach the code host.",
): AirlockError {
  return new AirlockError(what, { code: "checkout-unavailable", reason: "checkout-unavailable", hint });
}

/** The repository or its checkout exceeds the administrator's limits. The job's fault. */
export function checkoutLimit(problem: string): AirlockError {
  return new AirlockError(problem, {
    code: "checkout-limit",
    reason: "checkout-invalid",
    hint: "Reduce the checkout with checkout.depth or checkout.paths, or raise EXECUTOR_MAXIMUM_CHECKOUT_SIZE, _FILES or _TIME on the executor.",
  });
}
