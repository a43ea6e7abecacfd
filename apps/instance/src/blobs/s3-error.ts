import { AirlockError, errorMessage } from "@airlock/job";
import { S3ServiceException } from "@aws-sdk/client-s3";

const hints = {
  "blob-store-denied": "Check the access key, its secret, and that it may list, read, write and delete in the bucket.",
  "blob-store-no-bucket": "Create the bucket, or correct its name.",
  "blob-store-unreachable": "Check the endpoint, and that this machine can reach it.",
  "blob-store-wrong-region": "Correct the bucket's region or endpoint.",
  "blob-store-clock":
    "Set this machine's clock: the object storage refuses requests whose time differs too much from its own.",
  "blob-store-failed": "Check the log of the object storage.",
} as const;

type S3ErrorCode = keyof typeof hints;

/** Says what the storage answered, or that it didn't, with a hint. */
export function s3Error(cause: unknown, where: string): AirlockError {
  const code = errorCode(cause);
  return new AirlockError(`the object storage ${where} failed: ${describe(cause)}`, { code, hint: hints[code], cause });
}

export function isNotFound(error: unknown): boolean {
  return error instanceof S3ServiceException && (error.name === "NoSuchKey" || error.name === "NotFound");
}

export function isInvalidRange(error: unknown): boolean {
  return error instanceof S3ServiceException && error.$metadata.httpStatusCode === 416;
}

function errorCode(error: unknown): S3ErrorCode {
  if (!(error instanceof S3ServiceException))
    return isNetworkError(error) ? "blob-store-unreachable" : "blob-store-failed";
  switch (error.name) {
    case "NoSuchBucket":
      return "blob-store-no-bucket";
    case "RequestTimeTooSkewed":
      return "blob-store-clock";
    case "PermanentRedirect":
    case "AuthorizationHeaderMalformed":
    case "IllegalLocationConstraintException":
      return "blob-store-wrong-region";
    default:
      return error.$metadata.httpStatusCode === 401 || error.$metadata.httpStatusCode === 403
        ? "blob-store-denied"
        : "blob-store-failed";
  }
}

const networkCodes: ReadonlySet<unknown> = new Set([
  "ECONNREFUSED",
  "ECONNRESET",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "ENOTFOUND",
  "EAI_AGAIN",
  "EPIPE",
  "ETIMEDOUT",
]);

function isNetworkError(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  return error.name === "TimeoutError" || networkCodes.has((error as NodeJS.ErrnoException).code);
}

function describe(error: unknown): string {
  return error instanceof S3ServiceException ? `${error.name}: ${error.message}` : errorMessage(error);
}
