import { withoutStatus } from "./error-code-entry.ts";

/** Error codes of instances at their start and in their logs. */
export const instanceErrors = withoutStatus({
  "blob-key-invalid": "A name is not valid for the blob store.",
  "blob-store-clock": "The object storage refuses requests because this machine's clock is wrong.",
  "blob-store-damaged": "Another program changed the blob store's directory.",
  "blob-store-denied": "The object storage does not accept the access key.",
  "blob-store-failed": "The blob store failed.",
  "blob-store-full": "The blob store's disk is full.",
  "blob-store-no-bucket": "The configured bucket does not exist in the object storage.",
  "blob-store-unreachable": "The object storage does not answer.",
  "blob-store-unusable": "The blob store's directory cannot be used.",
  "blob-store-wrong-region": "The bucket is in another region.",
  "data-directory-in-use": "Another process uses the data directory.",
  "data-directory-unusable": "The data directory cannot be created or written.",
  "database-too-new": "A newer version of Airlock has migrated the database.",
  "database-too-old": "The PostgreSQL server is older than Airlock needs.",
  "invalid-configuration": "A setting is wrong.",
  "listen-failed": "The instance cannot listen on its address.",
  "no-unprivileged-account": "PostgreSQL does not run as root, and the machine has no other account for it.",
  "postgres-failed": "The embedded PostgreSQL did not start.",
  "postgres-missing": "No embedded PostgreSQL is available for this platform.",
  "secret-key-invalid": "The secret keys cannot be read.",
});
