import { type JobSpec, type SecretFile, secretVariable } from "@airlock/api";
import { AirlockError, environmentBytes, formatBytes, maximumEnvironmentBytes, variableBytes } from "@airlock/job";
import { sql } from "kysely";
import { type AuditSource, recordAudit } from "../audit/audit-log.ts";
import { type DequeuedJob, registrySecretName } from "../queues/dequeue-job.ts";
import type { Sealer } from "../sealing/sealer.ts";
import { parseRegistrySecret, type RegistryAuth } from "../secrets/registry-secret.ts";
import { recordSecretEvents, type SecretEvent } from "../secrets/secret-audit.ts";
import { secretContext } from "../secrets/secret-store.ts";
import { type VisibleSecret, visibleSecrets } from "../secrets/visible-secrets.ts";
import type { Database } from "../store/database.ts";
import { inTransaction } from "../store/in-transaction.ts";

/** The decrypted secrets to put into one dequeue response. Never stored. */
export interface JobSecrets {
  /** `NAME=value` for each step that uses secrets, keyed by the step's index. */
  readonly env: ReadonlyMap<number, readonly string[]>;
  readonly files: readonly SecretFile[];
  /** Maps each value to its replacement in logs. */
  readonly redactedValues: Readonly<Record<string, string>>;
  /** Registry credentials; `null`: the job has none of its own. */
  readonly registryAuth: RegistryAuth | null;
}

export const noSecrets: JobSecrets = { env: new Map(), files: [], redactedValues: {}, registryAuth: null };

export interface JobSecretsOptions {
  readonly db: Database;
  readonly sealer: Sealer;
  readonly executor: string;
  /** The executor that gets them, for the audit log. */
  readonly by: AuditSource;
  /**
   * Whether the executor splits values into lines itself. Executors of the base protocol only look for whole values.
   */
  readonly splitsLines: boolean;
}

/** Limit for all values of a job, each counted as often as a step uses it. Protects memory from abuse. */
const maxJobBytes = 8 * 1024 * 1024;

/**
 * Decrypts the secrets that the job's steps name, and records that this executor got them.
 * @throws {AirlockError} reason `secret-unavailable` if the job can never have them; `internal` if this instance lacks
 * the key.
 */
export async function jobSecrets(job: DequeuedJob, options: JobSecretsOptions): Promise<JobSecrets> {
  const uses = job.spec.steps.flatMap((step, index) =>
    // Jobs stored before this field existed have no `secrets`.
    (step.secrets ?? []).map((secret) => ({ index, key: step.key ?? String(index), ...secret })),
  );
  if (uses.length === 0 && !job.registrySecrets) return noSecrets;
  const { db, sealer, executor, by, splitsLines } = options;
  const names = new Set(uses.map(({ name }) => name));
  // Jobs stored before namespaces existed have none in their specification.
  const scope = { namespace: job.spec.namespace ?? "default", queue: job.queue };
  const rows = await visibleSecrets(db, scope, [...names, registrySecretName]);
  const values = new Map(
    rows.map((row) => [row.name, { row, value: sealer.open(secretContext(row), row.sealed) }] as const),
  );

  const events: SecretEvent[] = [];
  const env = new Map<number, string[]>();
  const files: SecretFile[] = [];
  const redacted = new Map<string, string>();
  let bytes = 0;
  for (const { index, key, name, file } of uses) {
    const found = values.get(name);
    if (!found) throw unavailable(`step "${key}" uses the secret ${name}, which no longer exists`);
    bytes += found.value.length;
    if (bytes > maxJobBytes)
      throw unavailable(
        `the job's secrets exceed ${formatBytes(maxJobBytes)} in total`,
        "Use fewer or shorter secrets.",
      );
    if (file) files.push({ step: index, name, value: found.value });
    else env.set(index, [...(env.get(index) ?? []), `${secretVariable({ name, file })}=${found.value}`]);
    redact(redacted, found.value, name, splitsLines);
    events.push({ ...useOf(found.row, job, executor), step: key });
  }
  for (const [index, step] of job.spec.steps.entries()) {
    requireRoom({ ...step, key: step.key ?? String(index) }, env.get(index) ?? []);
  }
  const registry = values.get(registrySecretName);
  const registryAuth = registry ? parseRegistrySecret(registry.value) : null;
  if (registry && registryAuth) {
    for (const { auth } of Object.values(registryAuth)) {
      redact(redacted, auth, registrySecretName, splitsLines);
      const text = Buffer.from(auth, "base64").toString();
      redact(redacted, text.slice(text.indexOf(":") + 1), registrySecretName, splitsLines);
    }
    events.push({ ...useOf(registry.row, job, executor), step: null });
  }
  await recordUse(db, events, { rows, by });
  return { env, files, redactedValues: Object.fromEntries(redacted), registryAuth };
}

/** Check again: a secret may have become longer since the job was submitted. */
function requireRoom(step: JobSpec["steps"][number], variables: readonly string[]): void {
  const own = Object.entries(step.env).map(([name, value]) => variableBytes(name, value));
  const all = environmentBytes([...own, ...variables.map((variable) => Buffer.byteLength(variable))]);
  if (all <= maximumEnvironmentBytes) return;
  throw unavailable(
    `the variables and secrets of step "${step.key}" are ${formatBytes(all)} in total; the limit per step is ${formatBytes(maximumEnvironmentBytes)}`,
    "Pass long secrets as files (`file: true`) instead of variables.",
  );
}

function useOf({ name, namespace, queue }: VisibleSecret, job: DequeuedJob, executor: string): SecretEvent {
  const { id, attempt } = job;
  return { action: "used", name, namespace, queue, actor: executor, via: "lease", job: id, attempt };
}

async function recordUse(
  db: Database,
  events: readonly SecretEvent[],
  { rows, by }: { readonly rows: readonly VisibleSecret[]; readonly by: AuditSource },
): Promise<void> {
  const used = new Set(events.map(({ name }) => name));
  const ids = rows.filter(({ name }) => used.has(name)).map(({ id }) => id);
  // Once for each secret, however many steps use it.
  const uses = [...new Map(events.map((event) => [event.name, event])).values()];
  await inTransaction(db, async (transaction) => {
    await recordSecretEvents(transaction, events);
    await recordAudit(
      transaction,
      by,
      uses.map(({ name, namespace, queue, job, attempt }) => ({
        action: "secret.used",
        namespace,
        target: { kind: "secret", name },
        ...(job === undefined ? {} : { job }),
        details: { attempt, queue: queue || null },
      })),
    );
  });
  // At most one update per minute, so that jobs that start together don't wait for each other. Ordered, to avoid
  // deadlocks.
  await sql`
    update secrets set last_used_at = now() where id in (
      select id from secrets where id = any(${ids}::bigint[])
        and (last_used_at is null or last_used_at < now() - interval '1 minute')
      order by id for update skip locked
    )`.execute(db);
}

/** Shorter values occur in any log by chance. Masking them would garble the log and reveal the value. */
const minimumRedactedBytes = 4;
/** Shorter lines, such as a brace, also occur in unrelated output. */
const minimumLineBytes = 8;

function redact(redacted: Map<string, string>, value: string, name: string, splitsLines: boolean): void {
  const lines = splitsLines ? [] : [value.trim(), ...value.split(/\r?\n/).map((line) => line.trim())];
  for (const text of [value, ...lines]) {
    if (Buffer.byteLength(text) < (text === value ? minimumRedactedBytes : minimumLineBytes)) continue;
    // The map has one name per text; the first one wins.
    if (!redacted.has(text)) redacted.set(text, `\${{ secrets.${name} }}`);
  }
}

function unavailable(problem: string, hint?: string): AirlockError {
  return new AirlockError(problem, {
    code: "secret-unavailable",
    reason: "secret-unavailable",
    hint: hint ?? "Set it again with `airlock secret set`, then retry the job.",
  });
}
