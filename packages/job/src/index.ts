export { assertNever } from "./assert-never.ts";
export { formatBytes, parseBytes } from "./bytes.ts";
export { closestWord } from "./closest-word.ts";
export { formatDuration, maximumDurationMs, parseDuration } from "./duration.ts";
export { type AllowRule, type EgressPolicy, parseAllowRule } from "./egress-policy.ts";
export {
  environmentBytes,
  maximumEnvironmentBytes,
  maximumVariableBytes,
  variableBytes,
} from "./environment-size.ts";
export type { ErrorCodeEntry } from "./error-codes/error-code-entry.ts";
export { type ErrorCode, errorCodeGroups, httpStatusOfCode, isErrorCode } from "./error-codes/error-codes.ts";
export { AirlockError, type AirlockErrorOptions, errorMessage } from "./errors.ts";
export { type FailureReason, failureReasons, isRetryable } from "./failure-reason.ts";
export { hideAddressCredentials, hideUrlCredentials } from "./hide-url-credentials.ts";
export { leastResources } from "./least-resources.ts";
export {
  applyEvent,
  isFinished,
  type JobEvent,
  type JobLifecycle,
  type JobState,
  jobStates,
  type RetryPolicy,
  TransitionError,
} from "./lifecycle.ts";
export { isNoSpace, saysNoSpace } from "./no-space.ts";
export { shellQuote } from "./shell-quote.ts";
