import {
  type AuditEntryView,
  type AuditExportQuery,
  type AuditPage,
  type AuditQuery,
  auditActions,
} from "@airlock/api";
import { type Selectable, sql } from "kysely";
import type { Database } from "../store/database.ts";
import type { Schema } from "../store/schema.ts";

/** Who reads the log. */
export interface AuditReader {
  /** Shows only what is about these users and organizations; `null`: everything. */
  readonly visible: readonly string[] | null;
  /** The reader's name. Owners see their own addresses and sessions, but not those of others. */
  readonly name: string | null;
}

/** Newest first. */
export async function readAudit(
  db: Database,
  { before, limit, ...filters }: AuditQuery,
  reader: AuditReader,
): Promise<AuditPage> {
  let query = select(db, filters, reader);
  if (before !== undefined) query = query.where("id", "<", before);
  const rows = await query
    .orderBy("id", "desc")
    .limit(limit + 1)
    .execute();
  const page = rows.slice(0, limit);
  return {
    entries: page.map((row) => toView(row, reader)),
    next: rows.length > limit ? (page.at(-1)?.id ?? null) : null,
  };
}

/** Entries per query of an export. */
const exportBatch = 500;

/**
 * All entries up to now, oldest first.
 * @param reader Is asked for each batch, so that an export ends when its reader loses the role.
 */
export async function* exportAudit(
  db: Database,
  filters: AuditExportQuery,
  reader: () => Promise<AuditReader>,
): AsyncGenerator<AuditEntryView> {
  const { last } = await db
    .selectFrom("audit_log")
    .select((of) => of.fn.max("id").as("last"))
    .executeTakeFirstOrThrow();
  for (let after = 0, more = true; more; ) {
    const current = await reader();
    const rows = await select(db, filters, current)
      .where("id", ">", after)
      .where("id", "<=", last ?? 0)
      .orderBy("id")
      .limit(exportBatch)
      .execute();
    for (const row of rows) yield toView(row, current);
    after = rows.at(-1)?.id ?? after;
    more = rows.length === exportBatch;
  }
}

function select(db: Database, filters: AuditExportQuery, { visible }: AuditReader) {
  const { action, actor, namespace, target, job, since, until } = filters;
  let query = db.selectFrom("audit_log").selectAll();
  if (visible !== null) query = query.where("namespace", "=", sql<string>`any(${visible}::text[])`);
  if (action !== undefined) {
    const wanted = auditActions.filter((one) => one === action || one.startsWith(`${action}.`));
    query = query.where("action", "in", wanted);
  }
  if (actor !== undefined) query = query.where("actor", "=", actor);
  if (namespace !== undefined) query = query.where("namespace", "=", namespace);
  if (target !== undefined) query = query.where("target", "=", target);
  if (job !== undefined) query = query.where("job", "=", job);
  if (since !== undefined) query = query.where("at", ">=", new Date(since));
  if (until !== undefined) query = query.where("at", "<", new Date(until));
  return query;
}

function toView(row: Selectable<Schema["audit_log"]>, { visible, name }: AuditReader): AuditEntryView {
  const isShown = visible === null || row.actor === name;
  return {
    id: row.id,
    at: row.at.toISOString(),
    action: row.action,
    actor: row.actor,
    via: row.via,
    credential: isShown ? row.credential : null,
    address: isShown ? row.address : null,
    namespace: row.namespace,
    target: row.target_kind === null ? null : { kind: row.target_kind, name: row.target ?? "" },
    job: row.job,
    details: row.details,
  };
}
