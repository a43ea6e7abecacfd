import { jobStates } from "@airlock/job";
import { z } from "zod";
import { Namespace } from "../job/job-spec.ts";
import { DisplayName } from "./accounts.ts";

/** What a webhook can be told about: a job that enters a state. */
export const webhookEvents = [
  "job.queued",
  "job.processing",
  "job.completed",
  "job.errored",
  "job.failed",
  "job.canceled",
] as const;
export type WebhookEvent = (typeof webhookEvents)[number];

const Events = z
  .array(z.enum(webhookEvents))
  .min(1)
  .max(webhookEvents.length)
  .transform((events) => [...new Set(events)]);
const Url = z
  .url({ protocol: /^https?$/, error: "must be an https URL" })
  .max(2000)
  .refine((text) => !URL.canParse(text) || new URL(text).username === "", "must not contain a user or a password")
  .refine((text) => !text.includes("#"), "must not contain a fragment");

/** `POST /api/v1/webhooks`. */
export const CreateWebhookRequest = z.strictObject({
  /** Whose jobs it is about. Default: the namespace of a user's own name. */
  namespace: Namespace.optional(),
  name: DisplayName.min(1),
  url: Url,
  events: Events.default(["job.completed", "job.errored", "job.failed", "job.canceled"]),
});
/** `PATCH /api/v1/webhooks/ID`. Absent fields stay unchanged. */
export const UpdateWebhookRequest = z
  .strictObject({ name: DisplayName.min(1), url: Url, events: Events, enabled: z.boolean() })
  .partial();
export type UpdateWebhookRequest = z.output<typeof UpdateWebhookRequest>;

export const WebhookView = z.object({
  id: z.int(),
  namespace: z.string(),
  name: z.string(),
  url: z.string(),
  events: z.array(z.enum(webhookEvents)),
  enabled: z.boolean(),
  createdAt: z.iso.datetime(),
});
export type WebhookView = z.output<typeof WebhookView>;
/** The answer to a creation, and the only one with the secret. */
export const CreatedWebhook = WebhookView.extend({
  /** Verifies signatures, in the form of Standard Webhooks: `whsec_` and base64. */
  secret: z.string(),
});

const Id = z.coerce.number().int().positive().max(Number.MAX_SAFE_INTEGER);
const limit = z.coerce.number().int().min(1).max(200).default(50);
export const ListWebhooksQuery = z.strictObject({
  namespace: Namespace.optional(),
  /** Only webhooks with a larger id; used for the next page. */
  after: Id.optional(),
  limit,
});
export type ListWebhooksQuery = z.output<typeof ListWebhooksQuery>;
export const WebhookList = z.object({ webhooks: z.array(WebhookView), next: z.int().nullable() });
export type WebhookList = z.output<typeof WebhookList>;

export const deliveryStates = ["pending", "delivered", "failed"] as const;
export const WebhookDeliveryView = z.object({
  id: z.int(),
  event: z.enum(webhookEvents),
  job: z.int(),
  state: z.enum(deliveryStates),
  createdAt: z.iso.datetime(),
  /** When it is tried again; `null`: never. */
  nextTryAt: z.iso.datetime().nullable(),
  tries: z.array(
    z.object({
      at: z.iso.datetime(),
      durationMs: z.int(),
      /** Status of the answer; `null`: there was none. */
      status: z.int().nullable(),
      /** Why the try failed; `null`: it did not. */
      error: z.string().nullable(),
    }),
  ),
});
export type WebhookDeliveryView = z.output<typeof WebhookDeliveryView>;
export const ListDeliveriesQuery = z.strictObject({
  state: z.enum(deliveryStates).optional(),
  /** Only deliveries with a smaller id; used for the next page. */
  before: Id.optional(),
  limit,
});
export type ListDeliveriesQuery = z.output<typeof ListDeliveriesQuery>;
export const WebhookDeliveryList = z.object({ deliveries: z.array(WebhookDeliveryView), next: z.int().nullable() });
export type WebhookDeliveryList = z.output<typeof WebhookDeliveryList>;

/** The body of a delivery. Its headers are those of Standard Webhooks. */
export const WebhookMessage = z.object({
  type: z.enum(webhookEvents),
  timestamp: z.iso.datetime({ offset: true }),
  data: z.object({
    id: z.int(),
    namespace: z.string(),
    queue: z.string(),
    state: z.enum(jobStates),
    attempt: z.int(),
    repository: z.string().nullable(),
    commit: z.string().nullable(),
    failureReason: z.string().nullable(),
    exitCode: z.int().nullable(),
  }),
});
export type WebhookMessage = z.output<typeof WebhookMessage>;
