import { z } from "zod";
import { Namespace } from "../job/job-spec.ts";
import { StoredText } from "../primitives/stored-text.ts";

/** What the audit log records. */
export const auditActions = [
  "session.begun",
  "session.refused",
  "session.ended",
  "request.refused",
  "password.changed",
  "password.link-created",
  "password.link-used",
  "user.created",
  "user.changed",
  "organization.created",
  "organization.changed",
  "organization.deleted",
  "member.set",
  "member.removed",
  "identity.linked",
  "identity.unlinked",
  "access-token.created",
  "access-token.deleted",
  "command-line.confirmed",
  "command-line.refused",
  "executor-token.created",
  "executor-token.rotated",
  "executor-token.revoked",
  "secret.created",
  "secret.changed",
  "secret.deleted",
  "secret.used",
  "secret.keys-rotated",
  "job.submitted",
  "job.canceled",
  "job.retried",
  "artifact.downloaded",
  "repository.added",
  "repository.changed",
  "repository.refreshed",
  "repository.removed",
  "queue.created",
  "queue.changed",
  "queue.deleted",
  "executor.drained",
  "executor.paused",
  "executor.resumed",
  "webhook.created",
  "webhook.changed",
  "webhook.deleted",
  "webhook.delivery-repeated",
  "audit.exported",
] as const;
export type AuditAction = (typeof auditActions)[number];

/** How the actor proved who it is. */
export const auditCredentials = [
  "session",
  "access-token",
  "administrator-token",
  "administrator-session",
  "executor-token",
  "shared-secret",
  "job-token",
  "password",
  "password-link",
  "confirmation-code",
  "openid-connect",
  "none",
] as const;
export type AuditCredential = (typeof auditCredentials)[number];

/** One entry of the audit log. */
export const AuditEntryView = z.object({
  id: z.int(),
  at: z.iso.datetime(),
  action: z.enum(auditActions),
  /** Name of the user or the executor. `administrator`: the administrator's token. Empty: nobody proved who they are. */
  actor: z.string(),
  via: z.enum(auditCredentials),
  /** Id of the session or the token; `null`: it has none, or the reader may not know it. */
  credential: z.string().nullable(),
  /** Address of the client; `null`: the reader may not know it. */
  address: z.string().nullable(),
  /** The user or the organization that this is about; `null`: the whole instance. */
  namespace: z.string().nullable(),
  target: z.object({ kind: z.string(), name: z.string() }).nullable(),
  job: z.int().nullable(),
  details: z.record(z.string(), z.unknown()),
});
export type AuditEntryView = z.output<typeof AuditEntryView>;

const Action = z
  .string()
  .refine(
    (text) => auditActions.some((action) => action === text || action.startsWith(`${text}.`)),
    "must be an action such as secret.used, or the part before its point, such as secret",
  );
const Id = z.coerce.number().int().positive().max(Number.MAX_SAFE_INTEGER);

const filters = {
  /** One action, such as `secret.used`, or all with this first part, such as `secret`. */
  action: Action.optional(),
  actor: StoredText.min(1).max(255).optional(),
  namespace: Namespace.optional(),
  /** Name of the target. */
  target: StoredText.min(1).max(255).optional(),
  job: Id.optional(),
  /** Only entries of this time and later. */
  since: z.iso.datetime({ offset: true }).optional(),
  /** Only entries before this time. */
  until: z.iso.datetime({ offset: true }).optional(),
};

/** `GET /api/v1/audit`. */
export const AuditQuery = z.strictObject({
  ...filters,
  /** Only entries with a smaller id; used for the next page. */
  before: Id.optional(),
  limit: z.coerce.number().int().min(1).max(200).default(50),
});
export type AuditQuery = z.output<typeof AuditQuery>;

/** `GET /api/v1/audit/export`. */
export const AuditExportQuery = z.strictObject(filters);
export type AuditExportQuery = z.output<typeof AuditExportQuery>;

export const AuditPage = z.object({
  /** Newest first. */
  entries: z.array(AuditEntryView),
  /** `before` of the next page; `null`: this is the last one. */
  next: z.int().nullable(),
});
export type AuditPage = z.output<typeof AuditPage>;
