import { z } from "zod";
import { Namespace, SecretName } from "../job/job-spec.ts";
import { QueueName } from "../primitives/primitives.ts";
import { StoredText } from "../primitives/stored-text.ts";

/** What one secret may hold, in bytes of UTF-8: an environment variable must stay below the kernel's 128 KiB. */
export const maxSecretBytes = 64 * 1024;

const Description = StoredText.max(500);

/** Whose jobs may name it. Of several secrets with one name the most special wins: the namespace's before the queue's. */
const scope = {
  /** `null`: jobs of every namespace. */
  namespace: Namespace.nullable().default(null),
  /** `null`: jobs of every queue. */
  queue: QueueName.nullable().default(null),
};

/** A secret as everybody sees it: its value is written and never read back. */
export const SecretView = z.object({
  name: z.string(),
  namespace: z.string().nullable(),
  queue: z.string().nullable(),
  description: z.string(),
  createdAt: z.iso.datetime(),
  createdBy: z.string(),
  /** When its value was set last. */
  updatedAt: z.iso.datetime(),
  updatedBy: z.string(),
  /** When a job got it last, to the minute; `null`: none yet. */
  lastUsedAt: z.iso.datetime().nullable(),
});
export type SecretView = z.output<typeof SecretView>;
export const SecretList = z.object({ secrets: z.array(SecretView) });

/** `PUT /api/v1/secrets/{name}`: creates the secret of this name and scope, or gives it another value. */
export const SetSecretRequest = z.strictObject({
  ...scope,
  value: z
    .string()
    .min(1, "must not be empty")
    .refine((value) => !value.includes("\0"), "must not contain NUL")
    .refine((value) => value.isWellFormed(), "must be valid Unicode; encode binary values, e.g. as base64")
    .refine((value) => new TextEncoder().encode(value).length <= maxSecretBytes, "longer than 64 KiB"),
  /** Default: as it is, empty for a new one. */
  description: Description.optional(),
});
export type SetSecretRequest = z.input<typeof SetSecretRequest>;

/** `DELETE /api/v1/secrets/{name}`: names the one of that scope, and no other. */
export const SecretScopeQuery = z.strictObject({ namespace: Namespace.optional(), queue: QueueName.optional() });

export const secretActions = ["created", "changed", "deleted", "used"] as const;
export type SecretAction = (typeof secretActions)[number];

/** One line of the record of who did what with a secret. */
export const SecretEventView = z.object({
  id: z.int(),
  at: z.iso.datetime(),
  action: z.enum(secretActions),
  name: z.string(),
  /** The secret's own scope. */
  namespace: z.string().nullable(),
  queue: z.string().nullable(),
  /** `administrator`, or the executor that a job's secret was given to. */
  actor: z.string(),
  /** `token`: by a program; `session`: in the web UI; `lease`: with a job. */
  via: z.enum(["token", "session", "lease"]),
  /** The job that used it, and where; `null` for the other actions. */
  job: z.int().nullable(),
  attempt: z.int().nullable(),
  /** Key of the step; `null` when it was used to get images. */
  step: z.string().nullable(),
});
export type SecretEventView = z.output<typeof SecretEventView>;

export const SecretAuditQuery = z.strictObject({
  name: SecretName.optional(),
  namespace: Namespace.optional(),
  action: z.enum(secretActions).optional(),
  job: z.coerce.number().int().positive().optional(),
  /** Events with a smaller id: the next page. */
  before: z.coerce.number().int().positive().optional(),
  limit: z.coerce.number().int().min(1).max(200).default(50),
});
export const SecretAudit = z.object({
  /** The newest first. */
  events: z.array(SecretEventView),
  /** `before` of the next page. */ next: z.int().nullable(),
});
export type SecretAudit = z.output<typeof SecretAudit>;

/** `POST /api/v1/secrets/rotate`: how many values now are under the newest key that were not before. */
export const RotatedKeys = z.object({ keyId: z.string(), rotated: z.int() });
export type RotatedKeys = z.output<typeof RotatedKeys>;
