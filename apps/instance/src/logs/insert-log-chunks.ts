import { type Kysely, sql } from "kysely";
import type { AttemptKey } from "../queues/end-attempt.ts";
import { executePrepared } from "../store/prepared-statements.ts";
import type { LogStream, Schema } from "../store/schema.ts";

export interface NewLogChunk {
  readonly entryId: number;
  readonly offset: number;
  readonly stream: LogStream;
  readonly bytes: Buffer;
}

/**
 * Stores chunks of an attempt's log. All bytes are one parameter, which is sent in binary. An array would be sent as
 * hexadecimal text, at several times the cost of storing it. The statement is the same for any number of chunks, so it
 * is prepared once.
 */
export async function insertLogChunks(
  db: Kysely<Schema>,
  key: AttemptKey,
  chunks: readonly NewLogChunk[],
): Promise<void> {
  if (chunks.length === 0) return;
  const starts: number[] = [];
  let length = 0;
  for (const chunk of chunks) {
    starts.push(length + 1);
    length += chunk.bytes.length;
  }
  await executePrepared(
    "insert-log-chunks",
    sql`
    insert into log_chunks (job, attempt, entry_id, "offset", stream, bytes)
    select ${key.job}, ${key.attempt}, entry_id, "offset", stream,
      substring(${inOnePiece(chunks, length)}::bytea from start for length)
    from unnest(
      ${chunks.map((chunk) => chunk.entryId)}::integer[],
      ${chunks.map((chunk) => chunk.offset)}::bigint[],
      ${chunks.map((chunk) => chunk.stream)}::text[],
      ${starts}::integer[],
      ${chunks.map((chunk) => chunk.bytes.length)}::integer[]
    ) as chunk (entry_id, "offset", stream, start, length)`,
    db,
  );
}

/** Chunks of one batch are usually contiguous in memory already, so that nothing is copied. */
function inOnePiece(chunks: readonly NewLogChunk[], length: number): Buffer {
  const all = chunks.map(({ bytes }) => bytes);
  const [first] = all;
  if (!first) return Buffer.alloc(0);
  let end = first.byteOffset;
  for (const bytes of all) {
    if (bytes.buffer !== first.buffer || bytes.byteOffset !== end) return Buffer.concat(all, length);
    end += bytes.length;
  }
  return Buffer.from(first.buffer, first.byteOffset, length);
}
