import type { TokenScope } from "@airlock/api";
import type { Permission } from "./permissions.ts";

/**
 * The scope that an access token needs for a permission. `null`: no token has it. Whoever finds a token must not be able
 * to create another one, to change the password, or to end the sessions of its owner.
 */
const scopeOfPermission = {
  "instance.read-health": "read",
  "instance.read-metrics": "read",
  "instance.read-description": "read",
  "instance.set-up": null,
  "web.read": "read",

  "session.list-methods": "read",
  "session.begin": null,
  "session.end": null,
  "session.read": "read",
  "password.use-link": null,
  "password.create-link": null,
  "account.list-sessions": null,
  "account.end-session": null,
  "account.change-password": null,
  "account.list-identities": null,
  "account.link-identity": null,
  "account.list-tokens": null,
  "account.create-token": null,
  "account.delete-token": null,
  "account.confirm-login": null,

  "job.submit": "jobs",
  "job.list": "read",
  "job.read": "read",
  "job.cancel": "jobs",
  "job.retry": "jobs",
  "log.read": "read",
  "artifact.list": "read",
  "artifact.read": "read",
  "event.read": "read",

  "repository.list": "read",
  "repository.read": "read",
  "repository.add": "repositories",
  "repository.update": "repositories",
  "repository.refresh": "repositories",
  "repository.remove": "repositories",

  "executor.list": "read",
  "executor.drain": "administration",
  "executor.pause": "administration",
  "executor.resume": "administration",

  "executor-token.list": "read",
  "executor-token.create": null,
  "executor-token.rotate": null,
  "executor-token.revoke": "administration",

  "queue.list": "read",
  "queue.read": "read",
  "queue.create": "administration",
  "queue.update": "administration",
  "queue.delete": "administration",

  "secret.list": "read",
  "secret.set": "secrets",
  "secret.delete": "secrets",
  "secret.read-audit": "read",
  "secret.rotate-keys": "administration",

  "webhook.list": "read",
  "webhook.create": "administration",
  "webhook.update": "administration",
  "webhook.delete": "administration",
  "webhook.list-deliveries": "read",
  "webhook.repeat-delivery": "administration",

  "audit.read": "read",

  "user.list": "read",
  "user.create": "administration",
  "user.read": "read",
  "user.update": "administration",
  // It decides who can sign in as this user.
  "user.set-identity": null,
  // An access token can't do this to its owner either.
  "user.list-sessions": null,
  "user.end-session": null,
  "user.list-tokens": null,
  "user.delete-token": null,
  "organization.list": "read",
  "organization.create": "administration",
  "organization.read": "read",
  "organization.update": "administration",
  "organization.delete": "administration",
  "organization.leave": null,
  "member.list": "read",
  "member.set": "administration",
  "member.remove": "administration",

  "executor.connect": null,
  "executor.dequeue": null,
  "executor.heartbeat": null,
  "executor.read-events": null,

  "attempt.write-log": null,
  "attempt.end": null,
  "attempt.store-artifact": null,
  "attempt.read-file": null,
  "attempt.fetch-repository": null,
  "index.upload": null,
  "index.upload-as-executor": null,
} as const satisfies Readonly<Record<Permission, TokenScope | null>>;

export function scopeOf(permission: Permission): TokenScope | null {
  return scopeOfPermission[permission];
}
