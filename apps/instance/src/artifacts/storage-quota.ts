import { AirlockError, formatBytes } from "@airlock/job";
import { sql } from "kysely";
import type { Database } from "../store/database.ts";

export type StorageKind = "artifacts" | "uploads";

/** Limits in bytes; `null`: no limit. */
export interface StorageQuota {
  readonly totalBytes: number | null;
  /** Limit for each namespace (artifacts) or repository (code indexes). */
  readonly ownerBytes: number | null;
}

export interface StorageQuotas {
  readonly artifacts: StorageQuota;
  readonly uploads: StorageQuota;
}

/** What a blob counts against. */
export interface StorageOwner {
  readonly kind: StorageKind;
  /** The namespace of an artifact, the repository of a code index. */
  readonly owner: string;
  readonly quota: StorageQuota;
}

/** Every blob counts at least this much: a file takes a block, and each has a row. */
const leastBytes = 4096;
/** Serializes reservations. The number is arbitrary. */
const lockKey = 7_310_202;

const settings = {
  artifacts: {
    what: "artifacts",
    owner: "namespace",
    total: "AIRLOCK_ARTIFACT_QUOTA",
    perOwner: "AIRLOCK_ARTIFACT_NAMESPACE_QUOTA",
    retention: "AIRLOCK_ARTIFACT_RETENTION",
  },
  uploads: {
    what: "code indexes",
    owner: "repository",
    total: "AIRLOCK_UPLOAD_QUOTA",
    perOwner: "AIRLOCK_UPLOAD_REPOSITORY_QUOTA",
    retention: "AIRLOCK_UPLOAD_RETENTION",
  },
} as const;

/**
 * Reserves space for a blob before its bytes are written. The reservation is a row of garbage: if the upload breaks
 * off, even with its instance, garbage collection finds it.
 * @param wanted Bytes that the upload asks for. Gets at most what is left.
 * @returns The bytes that are reserved now, at least `least`.
 * @throws {AirlockError} `quota-exceeded` with the setting, if less than `least` is left.
 */
export async function reserveStorage(
  db: Database,
  blob: string,
  { kind, owner, quota }: StorageOwner,
  { wanted, least, lifetime }: { readonly wanted: number; readonly least: number; readonly lifetime: string },
): Promise<number> {
  return await db.transaction().execute(async (transaction) => {
    await sql`select pg_advisory_xact_lock(${lockKey})`.execute(transaction);
    const rooms = [
      { limit: quota.totalBytes, used: await storedBytes(transaction, kind), name: settings[kind].total, whose: "" },
      {
        limit: quota.ownerBytes,
        used: quota.ownerBytes === null ? 0 : await storedBytesOfOwner(transaction, kind, owner),
        name: settings[kind].perOwner,
        whose: ` of ${settings[kind].owner} ${JSON.stringify(owner)}`,
      },
    ];
    let granted = wanted;
    for (const { limit, used, name, whose } of rooms) {
      if (limit === null) continue;
      if (limit - used < Math.max(least, 1)) throw exceeded(kind, { limit, name, whose });
      granted = Math.min(granted, limit - used);
    }
    await sql`
      insert into blob_garbage (blob, kind, owner, bytes, due_at)
      values (${blob}, ${kind}, ${owner}, ${granted}, airlock_now() + ${lifetime}::interval)
      on conflict (blob) do update set bytes = blob_garbage.bytes + excluded.bytes`.execute(transaction);
    return granted;
  });
}

function exceeded(
  kind: StorageKind,
  { limit, name, whose }: { readonly limit: number; readonly name: string; readonly whose: string },
): AirlockError {
  const { what, retention } = settings[kind];
  return new AirlockError(`the ${what}${whose || " of this instance"} fill their quota of ${formatBytes(limit)}`, {
    code: "quota-exceeded",
    hint: `Wait until ${retention} removes old ones, or have the instance's administrator raise ${name}.`,
  });
}

/** Bytes of one kind that are stored, being uploaded or about to be deleted. */
export async function storedBytes(db: Database, kind: StorageKind): Promise<number> {
  const stored =
    kind === "artifacts" ? sql`select bytes from artifacts` : sql`select bytes from code_intel_upload_parts`;
  return await sum(db, sql`${stored} union all select bytes from blob_garbage where kind = ${kind}`);
}

async function storedBytesOfOwner(db: Database, kind: StorageKind, owner: string): Promise<number> {
  const stored =
    kind === "artifacts"
      ? sql`select bytes from artifacts join jobs on jobs.id = artifacts.job where jobs.namespace = ${owner}`
      : sql`select bytes from code_intel_upload_parts parts join code_intel_uploads uploads on uploads.id = parts.upload
          where uploads.repository = ${owner}`;
  return await sum(
    db,
    sql`${stored} union all select bytes from blob_garbage where kind = ${kind} and owner = ${owner}`,
  );
}

async function sum(db: Database, blobs: ReturnType<typeof sql>): Promise<number> {
  const { rows } = await sql<{ bytes: number }>`
    select coalesce(sum(greatest(bytes, ${leastBytes})), 0)::float8 as bytes from (${blobs}) blobs`.execute(db);
  return rows[0]?.bytes ?? 0;
}
