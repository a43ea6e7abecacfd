import type { Permission } from "./permissions.ts";

/**
 * Every route of the instance, and the permission that it needs. The server does not start if a route is missing here,
 * or if a line here has no route. `HEAD` needs the permission of `GET`, unless it has a line of its own.
 */
export const routeRules = {
  "GET /healthz": "instance.read-health",
  "GET /metrics": "instance.read-metrics",

  "GET /api/v1/openapi.json": "instance.read-description",
  "POST /api/v1/session": "session.begin",
  "GET /api/v1/session": "session.read",
  "DELETE /api/v1/session": "session.end",
  "GET /api/v1/sign-in": "session.list-methods",
  "POST /api/v1/sign-in": "session.begin",
  "GET /api/v1/sign-in/oidc": "session.begin",
  "GET /api/v1/sign-in/oidc/callback": "session.begin",
  "POST /api/v1/setup": "instance.set-up",
  "POST /api/v1/password": "password.use-link",
  "GET /api/v1/account/sessions": "account.list-sessions",
  "DELETE /api/v1/account/sessions": "account.end-session",
  "DELETE /api/v1/account/sessions/:id": "account.end-session",
  "PUT /api/v1/account/password": "account.change-password",
  "GET /api/v1/account/identities": "account.list-identities",
  "POST /api/v1/account/identities": "account.link-identity",
  "GET /api/v1/account/tokens": "account.list-tokens",
  "POST /api/v1/account/tokens": "account.create-token",
  "DELETE /api/v1/account/tokens/:id": "account.delete-token",
  "DELETE /api/v1/account/organizations/:name": "organization.leave",
  "POST /api/v1/command-line-logins": "session.begin",
  "POST /api/v1/command-line-logins/token": "session.begin",
  "GET /api/v1/account/command-line-logins/:code": "account.confirm-login",
  "POST /api/v1/account/command-line-logins/:code": "account.confirm-login",
  "DELETE /api/v1/account/command-line-logins/:code": "account.confirm-login",
  "POST /api/v1/jobs": "job.submit",
  "GET /api/v1/jobs": "job.list",
  "GET /api/v1/jobs/:id": "job.read",
  "POST /api/v1/jobs/:id/cancel": "job.cancel",
  "POST /api/v1/jobs/:id/retry": "job.retry",
  "GET /api/v1/jobs/:id/logs": "log.read",
  "GET /api/v1/jobs/:id/events": "log.read",
  "GET /api/v1/jobs/:id/usage": "job.read",
  "GET /api/v1/jobs/:id/artifacts": "artifact.list",
  "GET /api/v1/jobs/:id/artifacts/:artifactId": "artifact.read",
  "GET /api/v1/events": "event.read",
  "POST /api/v1/repositories": "repository.add",
  "GET /api/v1/repositories": "repository.list",
  "GET /api/v1/repositories/:name": "repository.read",
  "PATCH /api/v1/repositories/:name": "repository.update",
  "POST /api/v1/repositories/:name/refresh": "repository.refresh",
  "DELETE /api/v1/repositories/:name": "repository.remove",
  "GET /api/v1/executors": "executor.list",
  "POST /api/v1/executors/:name/drain": "executor.drain",
  "POST /api/v1/executors/:name/pause": "executor.pause",
  "POST /api/v1/executors/:name/resume": "executor.resume",
  "GET /api/v1/executor-tokens": "executor-token.list",
  "POST /api/v1/executor-tokens": "executor-token.create",
  "POST /api/v1/executor-tokens/:id/rotate": "executor-token.rotate",
  "DELETE /api/v1/executor-tokens/:id": "executor-token.revoke",
  "GET /api/v1/queues": "queue.list",
  "POST /api/v1/queues": "queue.create",
  "GET /api/v1/queues/:name": "queue.read",
  "PATCH /api/v1/queues/:name": "queue.update",
  "DELETE /api/v1/queues/:name": "queue.delete",
  "GET /api/v1/secrets": "secret.list",
  "PUT /api/v1/secrets/:name": "secret.set",
  "DELETE /api/v1/secrets/:name": "secret.delete",
  "GET /api/v1/secrets/audit": "secret.read-audit",
  "POST /api/v1/secrets/rotate": "secret.rotate-keys",
  "GET /api/v1/audit": "audit.read",
  "GET /api/v1/audit/export": "audit.read",
  "GET /api/v1/users": "user.list",
  "POST /api/v1/users": "user.create",
  "GET /api/v1/users/:name": "user.read",
  "PATCH /api/v1/users/:name": "user.update",
  "PUT /api/v1/users/:name/identity": "user.set-identity",
  "POST /api/v1/users/:name/password-link": "password.create-link",
  "GET /api/v1/users/:name/sessions": "user.list-sessions",
  "DELETE /api/v1/users/:name/sessions/:id": "user.end-session",
  "GET /api/v1/users/:name/tokens": "user.list-tokens",
  "DELETE /api/v1/users/:name/tokens/:id": "user.delete-token",
  "GET /api/v1/organizations": "organization.list",
  "POST /api/v1/organizations": "organization.create",
  "GET /api/v1/organizations/:name": "organization.read",
  "PATCH /api/v1/organizations/:name": "organization.update",
  "DELETE /api/v1/organizations/:name": "organization.delete",
  "GET /api/v1/organizations/:name/members": "member.list",
  "PUT /api/v1/organizations/:name/members/:user": "member.set",
  "DELETE /api/v1/organizations/:name/members/:user": "member.remove",

  "GET /.executors/test/auth": "executor.connect",
  "GET /.executors/queue/src-cli/version": "executor.connect",
  "POST /.executors/queue/dequeue": "executor.dequeue",
  "POST /.executors/queue/:queue/dequeue": "executor.dequeue",
  "POST /.executors/queue/heartbeat": "executor.heartbeat",
  "POST /.executors/queue/:queue/heartbeat": "executor.heartbeat",
  "POST /.executors/queue/:queue/canceledJobs": "executor.heartbeat",
  "POST /.executors/queue/:queue/canceled": "executor.heartbeat",
  "GET /.executors/events": "executor.read-events",
  "POST /.executors/queue/:queue/logs": "attempt.write-log",
  "POST /.executors/queue/:queue/addExecutionLogEntry": "attempt.write-log",
  "POST /.executors/queue/:queue/updateExecutionLogEntry": "attempt.write-log",
  "POST /.executors/queue/:queue/usage": "attempt.write-log",
  "POST /.executors/queue/:queue/markComplete": "attempt.end",
  "POST /.executors/queue/:queue/markErrored": "attempt.end",
  "POST /.executors/queue/:queue/markFailed": "attempt.end",
  "PUT /.executors/queue/:queue/artifacts": "attempt.store-artifact",
  "GET /.executors/files/batch-changes/:job/:file": "attempt.read-file",
  "GET /.executors/git/*": "attempt.fetch-repository",
  "POST /.executors/git/*": "attempt.fetch-repository",
  "HEAD /.executors/lsif/upload": "index.upload-as-executor",
  "POST /.executors/lsif/upload": "index.upload-as-executor",
  "HEAD /.executors/scip/upload": "index.upload-as-executor",
  "POST /.executors/scip/upload": "index.upload-as-executor",

  "GET /.api/src-cli/version": "instance.read-description",
  "HEAD /.api/lsif/upload": "index.upload",
  "POST /.api/lsif/upload": "index.upload",
  "HEAD /.api/scip/upload": "index.upload",
  "POST /.api/scip/upload": "index.upload",

  // The web UI's page, and its files.
  "GET /": "web.read",
  "GET /*": "web.read",
} as const satisfies Readonly<Record<string, Permission>>;

export type RuledRoute = keyof typeof routeRules;

/** Only an instance with a built web UI has these routes. */
export const optionalRoutes: readonly RuledRoute[] = ["GET /", "GET /*"];

export function routeRule(
  method: string,
  url: string,
): { readonly route: RuledRoute; readonly permission: Permission } | null {
  const names = method === "HEAD" ? [`HEAD ${url}`, `GET ${url}`] : [`${method} ${url}`];
  const route = names.find(isRuled);
  return route === undefined ? null : { route, permission: routeRules[route] };
}

function isRuled(name: string): name is RuledRoute {
  return Object.hasOwn(routeRules, name);
}
