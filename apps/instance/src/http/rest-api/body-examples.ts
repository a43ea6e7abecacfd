const password = "violet ladder seven kites";
const expiresAt = "2027-06-30T00:00:00Z";

/** An example for the body of each route that has one, for the OpenAPI document. */
export const bodyExamples: Readonly<Record<string, object>> = {
  "POST /api/v1/session": { token: "the administrator's token" },
  "POST /api/v1/sign-in": { name: "ann", password },
  "POST /api/v1/password": { token: "the token of the link", password },
  "POST /api/v1/setup": { name: "ann", displayName: "Ann", password },
  "PUT /api/v1/account/password": { currentPassword: password, password: "nine quiet harbours glow" },
  "POST /api/v1/account/identities": { currentPassword: password },
  "POST /api/v1/account/tokens": { name: "nightly build", scopes: ["read", "jobs"], expiresAt },
  "POST /api/v1/account/command-line-logins/:code": { name: "airlock on laptop", scopes: ["read", "jobs"], expiresAt },
  "POST /api/v1/command-line-logins": { host: "laptop" },
  "POST /api/v1/command-line-logins/token": {
    secret: "the secret of the answer to POST /api/v1/command-line-logins",
    confirmationCode: "KRTB-72WX",
  },
  "POST /api/v1/jobs": {
    repository: "github.com/owner/name",
    revision: "main",
    steps: [
      { key: "install", image: "node:24", run: "npm ci" },
      { key: "test", image: "node:24", run: "npm test", env: { CI: "true" }, secrets: ["NPM_TOKEN"] },
    ],
    resources: { cpus: 2, memory: "2Gi" },
    egress: { allow: ["packages.example.com:443"] },
    timeout: "30m",
    outputs: ["coverage/**"],
  },
  "POST /api/v1/repositories": { url: "https://github.com/owner/name.git", organizations: ["team"] },
  "PATCH /api/v1/repositories/:name": { organizations: ["team"] },
  "POST /api/v1/queues": { name: "builds", maxAttempts: 3, weight: 2 },
  "PATCH /api/v1/queues/:name": { concurrencyLimit: 10 },
  "PUT /api/v1/secrets/:name": { namespace: "team", value: "the secret's value" },
  "POST /api/v1/webhooks": {
    namespace: "team",
    name: "chat",
    url: "https://hooks.example.com/airlock",
    events: ["job.failed", "job.errored"],
  },
  "PATCH /api/v1/webhooks/:id": { enabled: false },
  "POST /api/v1/executor-tokens": { name: "pool a", queue: "builds" },
  "POST /api/v1/executor-tokens/:id/rotate": { overlapMs: 3_600_000 },
  "POST /api/v1/users": { name: "ben", displayName: "Ben", role: "member" },
  "PATCH /api/v1/users/:name": { disabled: true },
  "PUT /api/v1/users/:name/identity": { subject: "248289761001" },
  "POST /api/v1/organizations": { name: "team", displayName: "The team" },
  "PATCH /api/v1/organizations/:name": { displayName: "The team" },
  "PUT /api/v1/organizations/:name/members/:user": { role: "member" },
};
