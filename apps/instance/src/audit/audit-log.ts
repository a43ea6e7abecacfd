import type { AuditAction, AuditCredential } from "@airlock/api";
import { sql } from "kysely";
import type { Database } from "../store/database.ts";

/** Who does something, and how they proved who they are. */
export interface AuditSource {
  /** Name of a user or an executor; empty: unknown. */
  readonly actor: string;
  readonly via: AuditCredential;
  /** Id of the session or the token. Never the token itself. */
  readonly credential: string | null;
  readonly address: string | null;
}

type Detail = string | number | boolean | null | readonly Detail[] | { readonly [name: string]: Detail | undefined };

export interface AuditEvent {
  readonly action: AuditAction;
  /** The user or the organization that this is about, whose owners may read it; `undefined`: the whole instance. */
  readonly namespace?: string | null | undefined;
  readonly target?: { readonly kind: string; readonly name: string };
  readonly job?: number;
  /** Never secrets, passwords, tokens, or addresses with credentials. */
  readonly details?: { readonly [name: string]: Detail | undefined };
}

/** Adds entries. Call it in the transaction of the change, so that neither is stored without the other. */
export async function recordAudit(db: Database, by: AuditSource, events: readonly AuditEvent[]): Promise<void> {
  if (events.length === 0) return;
  // A single parameter, however many entries there are.
  const rows = JSON.stringify(events.map((event) => auditRow(by, event)));
  await sql`
    insert into audit_log (${auditColumns})
    select ${auditColumns} from jsonb_to_recordset(${rows}::jsonb) as entry (${auditTypes})`.execute(db);
}

/** An entry as the columns of its row, for statements that make a change and record it at once. */
export function auditRow(by: AuditSource, { action, namespace, target, job, details }: AuditEvent) {
  return {
    action,
    actor: storable(by.actor),
    via: by.via,
    credential: by.credential,
    address: by.address,
    namespace: namespace ? storable(namespace) : null,
    target_kind: target?.kind ?? null,
    target: target ? storable(target.name) : null,
    job: job ?? null,
    details: storableDetails(details ?? {}),
  };
}

export const auditColumns = sql.raw(
  "action, actor, via, credential, address, namespace, target_kind, target, job, details",
);
/** The columns as `jsonb_to_record` names them. */
export const auditTypes = sql.raw(
  "action text, actor text, via text, credential text, address text, namespace text, target_kind text, target text, " +
    "job bigint, details jsonb",
);

/** Clients choose some of the text, and must not fill the database with it. */
const maxTextLength = 300;
const maxDetailsLength = 8 * 1024;

function storable(text: string): string {
  const short = text.length > maxTextLength ? `${text.slice(0, maxTextLength)}…` : text;
  return short.replaceAll("\0", "\ufffd").toWellFormed();
}

function storableDetails(details: NonNullable<AuditEvent["details"]>): object {
  const text = JSON.stringify(details, (_name, value: unknown) =>
    typeof value === "string" ? storable(value) : value,
  );
  return text.length > maxDetailsLength ? { omitted: `${text.length} characters` } : (JSON.parse(text) as object);
}

/** Entries per transaction, so that a large cleanup doesn't hold locks for long. */
const batchSize = 1000;

/** Deletes entries past their retention. Nothing else deletes entries: a trigger refuses it. */
export async function forgetOldEntries(db: Database, olderThanMs: number | null, signal: AbortSignal): Promise<void> {
  if (olderThanMs === null) return;
  for (let deleted = batchSize; deleted === batchSize; signal.throwIfAborted()) {
    deleted = await db.transaction().execute(async (transaction) => {
      await sql`select set_config('airlock.audit_retention', 'on', true)`.execute(transaction);
      const { numAffectedRows } = await sql`
        delete from audit_log where id in (
          select id from audit_log where at < airlock_now() - make_interval(secs => ${olderThanMs / 1000})
          order by at limit ${batchSize})`.execute(transaction);
      return Number(numAffectedRows ?? 0);
    });
  }
}
