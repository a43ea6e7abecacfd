import type { ExecutorTokenView } from "@airlock/api";
import { AirlockError } from "@airlock/job";
import { sql } from "kysely";
import { isCheckedToken, newCheckedToken, tokenDigest } from "../accounts/checked-token.ts";
import { unknownQueue } from "../queues/enqueue-job.ts";
import type { Database } from "../store/database.ts";
import { inTransaction } from "../store/in-transaction.ts";
import { activeWithinMs } from "./executor-registry.ts";

/** Secret scanners find tokens by this prefix. */
export const executorTokenPrefix = "airlock_exec_";
/** Limits of what one queue's tokens and one token's holder can store. */
const maxTokens = 100;
const maxExecutors = 1000;
/** Replaced tokens stay in the list for a while, so that a late executor can be explained. */
const keptDays = 30;

export interface FoundExecutorToken {
  readonly token: number;
  readonly queue: string;
}

export function isExecutorToken(text: string): boolean {
  return isCheckedToken(executorTokenPrefix, text);
}

/** `null`: the token is unknown, was revoked, or has expired. */
export async function findExecutorToken(
  db: Database,
  token: string,
  address: string,
): Promise<FoundExecutorToken | null> {
  if (!isExecutorToken(token)) return null;
  const { rows } = await sql<FoundExecutorToken & { readonly stale: boolean }>`
    select id as token, queue, last_used_at is null or last_used_at < airlock_now() - interval '1 minute' as stale
    from executor_tokens
    where token_sha256 = ${tokenDigest(token)} and (expires_at is null or expires_at > airlock_now())`.execute(db);
  const [row] = rows;
  if (!row) return null;
  if (row.stale) {
    await sql`update executor_tokens set last_used_at = airlock_now(), last_address = ${address}
      where id = ${row.token}`.execute(db);
  }
  return { token: row.token, queue: row.queue };
}

/**
 * Records that an executor uses a token. Returns `false` if the name belongs to an active executor of another queue,
 * which the token's holder could otherwise drain, or whose jobs it could learn.
 */
export async function useExecutorToken(
  db: Database,
  { token, queue }: FoundExecutorToken,
  executor: string,
): Promise<boolean> {
  const { rows } = await sql<{ foreign: boolean }>`
    select exists (
      select from executors where name = ${executor} and not queues <@ array[${queue}]
        and last_seen_at > airlock_now() - make_interval(secs => ${activeWithinMs / 1000})
    ) or exists (
      select from jobs where state = 'processing' and executor = ${executor} and queue <> ${queue}
    ) as foreign`.execute(db);
  if (rows[0]?.foreign !== false) return false;
  await sql`
    with valid as (
      -- Waits for a revocation that is under way, so that none comes between this and the insertion.
      select id from executor_tokens where id = ${token} and not exists (
        select from executor_token_uses where token = ${token} and executor = ${executor}
          and last_used_at >= airlock_now() - interval '1 minute'
      ) for key share
    )
    insert into executor_token_uses as uses (token, executor)
    select id, ${executor} from valid
    where (exists (select from executor_token_uses where token = ${token} and executor = ${executor})
        or (select count(*) from executor_token_uses where token = ${token}) < ${maxExecutors})
    on conflict (token, executor) do update set last_used_at = airlock_now()
    where uses.last_used_at < airlock_now() - interval '1 minute'`.execute(db);
  return true;
}

export interface NewExecutorToken {
  readonly name: string;
  readonly queue: string;
  readonly createdBy: string;
}

type CreatedToken = ExecutorTokenView & { readonly token: string };

/**
 * The token itself is in this answer and nowhere else.
 * @throws {AirlockError} `unknown-queue`, `too-many-tokens`.
 */
export async function createExecutorToken(db: Database, request: NewExecutorToken): Promise<CreatedToken> {
  return inTransaction(db, async (transaction) => {
    // The lock keeps requests at the same time from exceeding the limit.
    const queue = await transaction
      .selectFrom("queues")
      .select("name")
      .where("name", "=", request.queue)
      .forUpdate()
      .executeTakeFirst();
    if (!queue) throw unknownQueue(request.queue);
    const { count } = await transaction
      .selectFrom("executor_tokens")
      .select((select) => select.fn.countAll<number>().as("count"))
      .where("queue", "=", request.queue)
      .executeTakeFirstOrThrow();
    if (Number(count) >= maxTokens) {
      throw new AirlockError(`queue "${request.queue}" has ${count} executor tokens`, {
        code: "too-many-tokens",
        hint: "Revoke tokens that no executor uses.",
      });
    }
    return insertToken(transaction, request);
  });
}

async function insertToken(db: Database, { name, queue, createdBy }: NewExecutorToken): Promise<CreatedToken> {
  const token = newCheckedToken(executorTokenPrefix);
  const { id } = await db
    .insertInto("executor_tokens")
    .values({
      token_sha256: tokenDigest(token),
      queue,
      name,
      created_by: createdBy,
      expires_at: null,
      last_used_at: null,
      last_address: null,
    })
    .returning("id")
    .executeTakeFirstOrThrow();
  const [view] = await listExecutorTokens(db, id);
  if (!view) throw new Error(`executor token ${id} was not stored`);
  return { ...view, token };
}

/**
 * Replaces a token. The old one expires after the overlap.
 * @throws {AirlockError} `not-found`, `token-replaced`.
 */
export async function rotateExecutorToken(
  db: Database,
  id: number,
  { overlapMs, createdBy }: { readonly overlapMs: number; readonly createdBy: string },
): Promise<CreatedToken> {
  return inTransaction(db, async (transaction) => {
    const old = await transaction
      .selectFrom("executor_tokens")
      .select(["name", "queue", "expires_at"])
      .where("id", "=", id)
      .forUpdate()
      .executeTakeFirst();
    if (!old) throw noToken(id);
    if (old.expires_at !== null) {
      throw new AirlockError(`executor token ${id} was replaced already`, {
        code: "token-replaced",
        hint: "Rotate the token that replaced it, or revoke this one.",
      });
    }
    await sql`update executor_tokens set expires_at = airlock_now() + make_interval(secs => ${overlapMs / 1000})
      where id = ${id}`.execute(transaction);
    return insertToken(transaction, { ...old, createdBy });
  });
}

/**
 * Ends a token at once. Returns the jobs that its executors still run.
 * @throws {AirlockError} `not-found`.
 */
export async function revokeExecutorToken(db: Database, id: number): Promise<number[]> {
  return inTransaction(db, async (transaction) => {
    const { rows } = await sql<{ id: number }>`
      select jobs.id::float8 as id from jobs
      join executor_tokens tokens on tokens.queue = jobs.queue
      join executor_token_uses uses on uses.token = tokens.id and uses.executor = jobs.executor
      where tokens.id = ${id} and jobs.state = 'processing' order by jobs.id`.execute(transaction);
    const deleted = await transaction
      .deleteFrom("executor_tokens")
      .where("id", "=", id)
      .returning("id")
      .executeTakeFirst();
    if (!deleted) throw noToken(id);
    return rows.map((row) => row.id);
  });
}

interface Row {
  readonly id: number;
  readonly name: string;
  readonly queue: string;
  readonly created_at: Date;
  readonly created_by: string;
  readonly expires_at: Date | null;
  readonly last_used_at: Date | null;
  readonly last_address: string | null;
  readonly executors: readonly { readonly name: string; readonly at: string }[];
}

/** By queue, newest first. With `id`, lists only this token. */
export async function listExecutorTokens(db: Database, id: number | null = null): Promise<ExecutorTokenView[]> {
  const { rows } = await sql<Row>`
    select tokens.*, coalesce((
      select jsonb_agg(jsonb_build_object('name', executor, 'at', last_used_at) order by last_used_at desc, executor)
      from executor_token_uses where token = tokens.id), '[]') as executors
    from executor_tokens tokens
    where ${id}::bigint is null or id = ${id}
    order by queue, id desc`.execute(db);
  return rows.map((row) => ({
    id: row.id,
    name: row.name,
    queue: row.queue,
    createdAt: row.created_at.toISOString(),
    createdBy: row.created_by,
    expiresAt: row.expires_at?.toISOString() ?? null,
    lastUsedAt: row.last_used_at?.toISOString() ?? null,
    lastAddress: row.last_address,
    executors: row.executors.map(({ name, at }) => ({ name, lastUsedAt: new Date(at).toISOString() })),
  }));
}

export async function hasValidExecutorToken(db: Database): Promise<boolean> {
  const { rows } = await sql`
    select from executor_tokens where expires_at is null or expires_at > airlock_now() limit 1`.execute(db);
  return rows.length > 0;
}

/** Deletes tokens that expired long ago, and executors that did not use their token for a week. */
export async function forgetOldExecutorTokens(db: Database): Promise<void> {
  await sql`delete from executor_tokens where expires_at < airlock_now() - make_interval(days => ${keptDays})`.execute(
    db,
  );
  await sql`delete from executor_token_uses where last_used_at < airlock_now() - interval '168 hours'`.execute(db);
}

function noToken(id: number): AirlockError {
  return new AirlockError(`executor token ${id} not found`, { code: "not-found" });
}
