import type { ErrorCodeGroup } from "./error-code-entry.ts";

/** Error codes in responses of the instance. */
export const requestErrors = {
  "invalid-request": {
    status: 400,
    documentation: "The request does not match its schema; `issues` names each field.",
  },
  "token-in-address": { status: 400, documentation: "The request's address contains an access token." },
  unauthorized: { status: 401, documentation: "The request has no valid token." },
  "sign-in-failed": { status: 401, documentation: "The name or the password is wrong." },
  "sign-in-refused": {
    status: 403,
    documentation: "The OpenID Connect provider, or the instance, does not let this person sign in.",
  },
  "sign-in-expired": {
    status: 400,
    documentation: "The sign-in was finished before, took too long, or began in another browser.",
  },
  "sign-in-provider": {
    status: 502,
    documentation: "The OpenID Connect provider is not reachable, or does not work with this instance.",
  },
  "too-many-webhooks": { status: 409, documentation: "The namespace has as many webhooks as it may have." },
  "webhook-address-refused": {
    status: 422,
    documentation: "The address of a webhook does not use https, or leads to a private network.",
  },
  "login-ended": {
    status: 404,
    documentation: "The login of a command line was finished or refused, took too long, or had too many wrong codes.",
  },
  "wrong-confirmation-code": {
    status: 403,
    documentation: "The code is not the one that the page showed to the person who confirmed the login.",
  },
  "no-provider": { status: 404, documentation: "The instance has no OpenID Connect provider." },
  "identity-taken": { status: 409, documentation: "The account of the provider is linked to another user." },
  "local-accounts-off": { status: 403, documentation: "The instance does not accept passwords of its own." },
  "missing-scope": { status: 403, documentation: "The access token's scopes do not permit this." },
  "not-permitted": { status: 403, documentation: "The caller's role does not permit this." },
  "no-account": { status: 403, documentation: "The request is about the caller's account, and the caller has none." },
  forbidden: {
    status: 403,
    documentation: "The request has a session cookie but comes from a page of another site.",
  },
  "not-found": { status: 404, documentation: "The route, or the object with this name or number, does not exist." },
  "lfs-not-found": { status: 404, documentation: "The code host does not have the Git LFS object." },
  "wrong-state": { status: 409, documentation: "The job's state does not allow this action." },
  "executor-leaving": {
    status: 409,
    documentation: "The executor exits after its running jobs, so it cannot be paused or resumed.",
  },
  "queue-exists": { status: 409, documentation: "A queue with this name already exists." },
  "queue-in-use": { status: 409, documentation: "The queue has jobs or executor tokens, or is the default one." },
  "too-many-tokens": {
    status: 409,
    documentation: "The user has too many access tokens, or the queue too many executor tokens.",
  },
  "token-replaced": { status: 409, documentation: "Another executor token replaced this one already." },
  "name-taken": {
    status: 409,
    documentation: "Another user or organization has this name, or one that looks the same.",
  },
  "already-set-up": { status: 409, documentation: "The instance has a first administrator already." },
  "last-administrator": { status: 409, documentation: "The instance would have no administrator." },
  "organization-in-use": {
    status: 409,
    documentation: "The organization has secrets or jobs that have not ended, or is the default one.",
  },
  "last-owner": { status: 409, documentation: "The organization would have no owner." },
  "repository-exists": {
    status: 409,
    documentation: "The name belongs to another repository, or the URL was added under another name.",
  },
  "repository-in-use": { status: 409, documentation: "A job that has not ended uses the repository." },
  "idempotency-conflict": { status: 409, documentation: "The `Idempotency-Key` was already used for another request." },
  "idempotency-pending": {
    status: 409,
    documentation: "A request with the same `Idempotency-Key` has no answer yet.",
  },
  "lapsed-attempt": {
    status: 409,
    documentation: "The attempt that the executor reports on is no longer the running one.",
  },
  "log-conflict": { status: 409, documentation: "The batch does not start where the stored log ends." },
  "body-too-large": { status: 413, documentation: "The request's body is larger than the route's limit." },
  "quota-exceeded": { status: 413, documentation: "The upload would exceed a storage quota of the instance." },
  "unsupported-media-type": {
    status: 415,
    documentation: "The route does not accept the request's `Content-Type` or `Content-Encoding`.",
  },
  "blob-range-invalid": { status: 416, documentation: "The requested range is beyond the end of the artifact." },
  "unknown-host": {
    status: 421,
    documentation: "The request has no token, and its `Host` header is not one of the instance's names.",
  },
  "unknown-queue": { status: 422, documentation: "No queue has this name." },
  "unknown-secret": { status: 422, documentation: "A step names a secret that this job does not have." },
  "environment-too-long": {
    status: 422,
    documentation: "The total size of a step's variables and secrets exceeds the kernel's limit.",
  },
  "unknown-repository": { status: 422, documentation: "No repository has this name." },
  "unknown-revision": { status: 422, documentation: "The repository has no such branch, tag or commit." },
  "invalid-repository-url": { status: 422, documentation: "Repositories cannot be fetched from a URL of this form." },
  "local-repository-refused": {
    status: 422,
    documentation: "The instance's administrator does not allow repositories on its own disk.",
  },
  "repository-too-large": { status: 422, documentation: "The repository is larger than the instance's limits." },
  "unknown-namespace": {
    status: 422,
    documentation: "No user and no organization that the caller sees has this name.",
  },
  "password-refused": { status: 422, documentation: "The new password is too easy to guess; `issues` says why." },
  "link-expired": { status: 422, documentation: "The link to set a password was used, replaced, or has expired." },
  "too-many-attempts": { status: 429, documentation: "Too many attempts to sign in failed, or too many wait." },
  "blob-too-large": { status: 422, documentation: "The data to store is larger than its limit." },
  internal: { status: 500, documentation: "The instance failed because of a bug; its log has the details." },
  "git-missing": { status: 500, documentation: "git is not installed where the program runs." },
  "no-lfs": {
    status: 501,
    documentation: "Git LFS objects cannot be fetched from an address of this form.",
  },
  "repository-unavailable": {
    status: 502,
    documentation: "The instance could not fetch the repository from the code host.",
  },
  "lfs-unavailable": { status: 502, documentation: "The code host's Git LFS server failed or gave an invalid answer." },
  "secret-key-mismatch": {
    status: 503,
    documentation: "Another instance on this database uses a different secret key.",
  },
  "secret-key-missing": {
    status: 503,
    documentation: "Data in the database is encrypted with a key that the instance does not have.",
  },
  "database-unreachable": { status: 503, documentation: "The instance cannot connect to its database." },
  "no-space": { status: 507, documentation: "A disk of the instance or of its database is full." },
  "git-timeout": { status: 504, documentation: "git took longer than the instance allows." },
} as const satisfies ErrorCodeGroup;
