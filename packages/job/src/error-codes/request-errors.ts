import type { ErrorCodeGroup } from "./error-code-entry.ts";

/** Error codes in responses of the instance. */
export const requestErrors = {
  "invalid-request": { status: 400, documentation: "The request breaks its schema; `issues` names each field." },
  unauthorized: { status: 401, documentation: "The request has no valid token." },
  forbidden: {
    status: 403,
    documentation: "The request uses a session's cookie and comes from a page of another site.",
  },
  "not-found": { status: 404, documentation: "There is no route, or no object with this name or number." },
  "lfs-not-found": { status: 404, documentation: "The code host does not have the Git LFS object." },
  "wrong-state": { status: 409, documentation: "The job's state does not allow what was asked for." },
  "executor-leaving": {
    status: 409,
    documentation: "The executor exits after its running jobs, so that it cannot be resumed.",
  },
  "queue-exists": { status: 409, documentation: "A queue has this name already." },
  "repository-exists": {
    status: 409,
    documentation: "Another repository has this name, or this URL has another name.",
  },
  "repository-in-use": { status: 409, documentation: "A job that has not ended needs the repository." },
  "idempotency-conflict": { status: 409, documentation: "The `Idempotency-Key` was used for another job." },
  "lapsed-attempt": { status: 409, documentation: "The attempt that the executor reports on is not the running one." },
  "log-conflict": { status: 409, documentation: "The batch does not continue the log where it ends." },
  "body-too-large": { status: 413, documentation: "The request's body is larger than the route's limit." },
  "quota-exceeded": { status: 413, documentation: "What is stored already leaves no room in a quota of the instance." },
  "unsupported-media-type": {
    status: 415,
    documentation: "The request's `Content-Type` or `Content-Encoding` is not one that the route takes.",
  },
  "blob-range-invalid": { status: 416, documentation: "The artifact has no bytes in the range that was asked for." },
  "unknown-host": {
    status: 421,
    documentation: "The request has no token, and its `Host` header is not a name of the instance.",
  },
  "unknown-queue": { status: 422, documentation: "There is no queue with this name." },
  "unknown-secret": { status: 422, documentation: "A step names a secret that does not exist for this job." },
  "environment-too-long": {
    status: 422,
    documentation: "The variables and secrets of a step are longer together than the kernel takes.",
  },
  "unknown-repository": { status: 422, documentation: "There is no repository with this name." },
  "unknown-revision": { status: 422, documentation: "The repository has no such branch, tag or commit." },
  "invalid-repository-url": { status: 422, documentation: "The URL is not one that a repository can be fetched from." },
  "local-repository-refused": {
    status: 422,
    documentation: "The instance's administrator does not allow repositories on its own disk.",
  },
  "repository-too-large": { status: 422, documentation: "The repository is larger than the instance's limits." },
  "blob-too-large": { status: 422, documentation: "What is to be stored is larger than its limit." },
  internal: { status: 500, documentation: "The instance failed by a defect; its log has the details." },
  "git-missing": { status: 500, documentation: "git is not installed where the program runs." },
  "no-lfs": {
    status: 501,
    documentation: "The repository's address is not one that Git LFS objects are fetched from.",
  },
  "repository-unavailable": {
    status: 502,
    documentation: "The code host did not let the instance fetch the repository.",
  },
  "lfs-unavailable": { status: 502, documentation: "The code host's Git LFS server did not answer as it should." },
  "secret-key-mismatch": { status: 503, documentation: "Another instance on this database uses another secret key." },
  "secret-key-missing": {
    status: 503,
    documentation: "Something in the database is encrypted with a key that the instance does not have.",
  },
  "database-unreachable": { status: 503, documentation: "The instance cannot connect to its database." },
  "no-space": { status: 507, documentation: "A disk of the instance or of its database is full." },
  "git-timeout": { status: 504, documentation: "git took longer than the instance allows." },
} as const satisfies ErrorCodeGroup;
