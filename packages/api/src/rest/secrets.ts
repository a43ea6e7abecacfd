import { z } from "zod";
import { Namespace, SecretName } from "../job/job-spec.ts";
import { QueueName } from "../primitives/primitives.ts";
import { StoredText } from "../primitives/stored-text.ts";

/**
 * Maximum size of a secret in bytes of UTF-8. An environment variable must stay below the kernel's limit of 128 KiB.
 */
export const maxSecretBytes = 64 * 1024;

const Description = StoredText.max(500);

/** A secret without its value, which can be written but never read back. */
export const SecretView = z.object({
  name: z.string(),
  namespace: z.string().nullable(),
  queue: z.string().nullable(),
  description: z.string(),
  createdAt: z.iso.datetime(),
  createdBy: z.string(),
  /** When its value was last set. */
  updatedAt: z.iso.datetime(),
  updatedBy: z.string(),
  /** When a job last got it, to the minute; `null`: never. */
  lastUsedAt: z.iso.datetime().nullable(),
});
export type SecretView = z.output<typeof SecretView>;
export const SecretList = z.object({ secrets: z.array(SecretView) });

/**
 * `PUT /api/v1/secrets/{name}`: creates the secret with this name and scope, or replaces its value. The scope says which
 * jobs may use it. Of several secrets with the same name the most specific one wins: a namespace is more specific than a
 * queue.
 */
export const SetSecretRequest = z.strictObject({
  /** `null`: jobs of every namespace. Default: the namespace of a user's own name; for administrators `null`. */
  namespace: Namespace.nullable().optional(),
  /** `null`: jobs of every queue. */
  queue: QueueName.nullable().default(null),
  value: z
    .string()
    .min(1, "must not be empty")
    .refine((value) => !value.includes("\0"), "must not contain NUL")
    .refine((value) => value.isWellFormed(), "must be valid Unicode; encode binary values, e.g. as base64")
    .refine((value) => new TextEncoder().encode(value).length <= maxSecretBytes, "longer than 64 KiB"),
  /** Default: unchanged, or empty for a new secret. */
  description: Description.optional(),
});
export type SetSecretRequest = z.input<typeof SetSecretRequest>;

/** `DELETE /api/v1/secrets/{name}`: deletes only the secret with exactly this scope. */
export const SecretScopeQuery = z.strictObject({ namespace: Namespace.optional(), queue: QueueName.optional() });

export const secretActions = ["created", "changed", "deleted", "used"] as const;
export type SecretAction = (typeof secretActions)[number];

/** One event of the record of actions on secrets. */
export const SecretEventView = z.object({
  id: z.int(),
  at: z.iso.datetime(),
  action: z.enum(secretActions),
  name: z.string(),
  /** The scope of the secret. */
  namespace: z.string().nullable(),
  queue: z.string().nullable(),
  /** `administrator`, or the executor that received a job's secret. */
  actor: z.string(),
  /** `token`: by a program. `session`: in the web UI. `lease`: sent with a job. */
  via: z.enum(["token", "session", "lease"]),
  /** The job and the attempt that used it; `null` for other actions. */
  job: z.int().nullable(),
  attempt: z.int().nullable(),
  /** Key of the step; `null` if it was used to pull images. */
  step: z.string().nullable(),
});
export type SecretEventView = z.output<typeof SecretEventView>;

export const SecretAuditQuery = z.strictObject({
  name: SecretName.optional(),
  namespace: Namespace.optional(),
  action: z.enum(secretActions).optional(),
  job: z.coerce.number().int().positive().optional(),
  /** Only events with a smaller id; used for the next page. */
  before: z.coerce.number().int().positive().optional(),
  limit: z.coerce.number().int().min(1).max(200).default(50),
});
export const SecretAudit = z.object({
  /** Newest first. */
  events: z.array(SecretEventView),
  /** `before` of the next page. */ next: z.int().nullable(),
});
export type SecretAudit = z.output<typeof SecretAudit>;

/** `POST /api/v1/secrets/rotate`: `rotated` is the number of values that were re-encrypted with the newest key. */
export const RotatedKeys = z.object({ keyId: z.string(), rotated: z.int() });
export type RotatedKeys = z.output<typeof RotatedKeys>;
