import type { SecretAudit, SecretAuditQuery, SecretEventView } from "@airlock/api";
import { type Selectable, sql } from "kysely";
import type { z } from "zod";
import type { Database } from "../store/database.ts";
import type { Schema } from "../store/schema.ts";

/** An event in the life of a secret. Never contains its value. */
export interface SecretEvent {
  readonly action: SecretEventView["action"];
  readonly name: string;
  /** Empty: all namespaces. */
  readonly namespace: string;
  readonly queue: string;
  readonly actor: string;
  readonly via: SecretEventView["via"];
  readonly job?: number;
  readonly attempt?: number;
  readonly step?: string | null;
}

export async function recordSecretEvents(db: Database, events: readonly SecretEvent[]): Promise<void> {
  if (events.length === 0) return;
  // A single parameter, however many steps the job has.
  await sql`
    insert into secret_events (action, name, namespace, queue, actor, via, job, attempt, step)
    select * from jsonb_to_recordset(${JSON.stringify(events)}::jsonb)
      as event (action text, name text, namespace text, queue text, actor text, via text, job bigint, attempt integer,
        step text)`.execute(db);
}

/**
 * Returns the newest events first.
 * @param visible Only the events of these namespaces' secrets; `null`: of all secrets.
 */
export async function readSecretAudit(
  db: Database,
  query: z.output<typeof SecretAuditQuery>,
  visible: readonly string[] | null,
): Promise<SecretAudit> {
  let select = db.selectFrom("secret_events").selectAll();
  if (visible !== null) select = select.where("namespace", "=", sql<string>`any(${visible}::text[])`);
  if (query.name !== undefined) select = select.where("name", "=", query.name);
  if (query.namespace !== undefined) select = select.where("namespace", "=", query.namespace);
  if (query.action !== undefined) select = select.where("action", "=", query.action);
  if (query.job !== undefined) select = select.where("job", "=", query.job);
  if (query.before !== undefined) select = select.where("id", "<", query.before);
  const rows = await select
    .orderBy("id", "desc")
    .limit(query.limit + 1)
    .execute();
  const page = rows.slice(0, query.limit);
  return { events: page.map(toView), next: rows.length > page.length ? (page.at(-1)?.id ?? null) : null };
}

const keepUsesDays = 90;

/** Changes of secrets are kept forever; uses by jobs for `keepUsesDays`. */
export async function forgetOldUses(db: Database): Promise<void> {
  await sql`delete from secret_events
    where action = 'used' and at < now() - make_interval(days => ${keepUsesDays}::int)`.execute(db);
}

function toView(row: Selectable<Schema["secret_events"]>): SecretEventView {
  return {
    id: row.id,
    at: row.at.toISOString(),
    action: row.action,
    name: row.name,
    namespace: row.namespace || null,
    queue: row.queue || null,
    actor: row.actor,
    via: row.via,
    job: row.job,
    attempt: row.attempt,
    step: row.step,
  };
}
