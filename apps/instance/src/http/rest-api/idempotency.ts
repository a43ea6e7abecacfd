import { createHash } from "node:crypto";
import { AirlockError } from "@airlock/job";
import type { FastifyInstance, FastifyRequest } from "fastify";
import { sql } from "kysely";
import { z } from "zod";
import { requireRegisteredKey } from "../../sealing/open-keyring.ts";
import type { Database } from "../../store/database.ts";
import { auditSource } from "../shared/audit-source.ts";
import type { InstanceContext } from "../shared/instance-context.ts";
import { accessOf } from "../shared/route-access.ts";
import { unknownNamespace } from "./zod-scope.ts";

/** Documents the header. Other headers stay as they are. */
export const IdempotencyHeaders = z.looseObject({
  "idempotency-key": z.string().min(1).max(255).optional(),
});

/** Routes that create something. The submission of jobs keeps its keys with the jobs. */
const creatingRoutes: ReadonlySet<string> = new Set([
  "/api/v1/account/tokens",
  "/api/v1/executor-tokens",
  "/api/v1/executor-tokens/:id/rotate",
  "/api/v1/organizations",
  "/api/v1/queues",
  "/api/v1/repositories",
  "/api/v1/users",
  "/api/v1/users/:name/password-link",
  "/api/v1/webhooks",
]);

/** Longer than any of these requests takes. */
const leaseMs = 60_000;

interface KeyRow {
  readonly request_sha256: Buffer;
  readonly status: number | null;
  readonly sealed: Buffer | null;
}

/** Keys of requests that are being handled, to store their answers. */
const handled = new WeakMap<FastifyRequest, Buffer>();

/**
 * Makes requests that create something repeatable: with the same `Idempotency-Key`, the same sender gets the first
 * answer again. Call it before the routes are registered.
 */
export function answerRepetitions(scope: FastifyInstance, { db, sealer }: InstanceContext): void {
  scope.addHook("onRoute", (route) => {
    if (route.method !== "POST" || !creatingRoutes.has(route.url)) return;
    route.schema = { ...route.schema, headers: IdempotencyHeaders };
  });

  scope.addHook("preHandler", async (request, reply) => {
    const key = keyOf(request);
    if (key === null) return;
    const digest = createHash("sha256")
      .update(JSON.stringify(request.body ?? null))
      .digest();
    if (await take(db, key, digest)) {
      handled.set(request, key);
      return;
    }
    const { rows } = await sql<KeyRow>`
      select request_sha256, status, sealed from idempotency_keys where key_sha256 = ${key}`.execute(db);
    const [known] = rows;
    if (known && !known.request_sha256.equals(digest)) {
      throw new AirlockError("this Idempotency-Key was already used for another request", {
        code: "idempotency-conflict",
        hint: "Use a new key for a new request.",
      });
    }
    if (!known?.sealed || known.status === null) {
      throw new AirlockError("a request with this Idempotency-Key is being handled", {
        code: "idempotency-pending",
        hint: "Send it again in some seconds.",
      });
    }
    const body: unknown = JSON.parse(sealer.open(contextOf(key), known.sealed));
    requireAgain(request, body);
    return reply.status(known.status).header("idempotency-replayed", "true").send(body);
  });

  scope.addHook("onSend", async (request, reply, payload) => {
    const key = handled.get(request);
    if (!key) return payload;
    handled.delete(request);
    if (reply.statusCode >= 300 || typeof payload !== "string") {
      // Nothing was created, so the key may be used again.
      await sql`delete from idempotency_keys where key_sha256 = ${key} and status is null`.execute(db);
      return payload;
    }
    await requireRegisteredKey(db, sealer.keyId);
    const { bytes } = sealer.seal(contextOf(key), payload);
    await sql`
      update idempotency_keys set status = ${reply.statusCode}, sealed = ${bytes} where key_sha256 = ${key}`.execute(
      db,
    );
    return payload;
  });
}

/** The sender's roles may have changed since the first answer. */
function requireAgain(request: FastifyRequest, body: unknown): void {
  const access = accessOf(request);
  if (access.decided) return;
  const { namespace } = z.object({ namespace: z.string() }).parse(body);
  access.require({ namespace }, unknownNamespace(namespace));
}

export async function forgetIdempotencyKeys(db: Database): Promise<void> {
  await sql`delete from idempotency_keys where created_at < airlock_now() - interval '24 hours'`.execute(db);
}

/** `null`: the request has no key, or creates nothing. */
function keyOf(request: FastifyRequest): Buffer | null {
  const key = request.headers["idempotency-key"];
  const { url, method } = request.routeOptions;
  if (typeof key !== "string" || method !== "POST" || !creatingRoutes.has(url ?? "")) return null;
  // Keys belong to their sender. Otherwise a conflict would tell which keys others use, and an answer what they made.
  const { actor, via } = auditSource(request);
  const sender = via === "administrator-token" || via === "administrator-session" ? "administrator" : `user ${actor}`;
  const path = request.url.split("?")[0];
  return createHash("sha256")
    .update(JSON.stringify([sender, path, key]))
    .digest();
}

/** Whether this request is the first one with its key, or the first one after a crash. */
async function take(db: Database, key: Buffer, digest: Buffer): Promise<boolean> {
  const { rows } = await sql`
    insert into idempotency_keys as known (key_sha256, request_sha256, lease_expires_at)
    values (${key}, ${digest}, airlock_now() + make_interval(secs => ${leaseMs / 1000}::float8))
    on conflict (key_sha256) do update set lease_expires_at = excluded.lease_expires_at
    where known.status is null and known.lease_expires_at < airlock_now()
      and known.request_sha256 = excluded.request_sha256
    returning 1`.execute(db);
  return rows.length > 0;
}

function contextOf(key: Buffer): readonly ["idempotency", string] {
  return ["idempotency", key.toString("hex")];
}
