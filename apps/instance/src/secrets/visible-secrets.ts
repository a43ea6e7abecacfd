import { sql } from "kysely";
import { sealedOverheadBytes } from "../sealing/sealer.ts";
import type { Database } from "../store/database.ts";
import type { SecretScope } from "./secret-store.ts";

export interface VisibleSecret {
  id: number;
  name: string;
  namespace: string;
  queue: string;
  sealed: Buffer;
}

/**
 * For each name, the secret that a job of this namespace and queue gets. The namespace's wins over the queue's, and the
 * queue's over the global one.
 */
export async function visibleSecrets(
  db: Database,
  scope: SecretScope,
  names: readonly string[],
): Promise<VisibleSecret[]> {
  const { rows } = await sql<VisibleSecret>`
    select distinct on (name) id, name, namespace, queue, sealed ${visible(scope, names)}`.execute(db);
  return rows;
}

/** Sizes in bytes of the same secrets' values, by name. */
export async function sizesOfVisibleSecrets(
  db: Database,
  scope: SecretScope,
  names: readonly string[],
): Promise<ReadonlyMap<string, number>> {
  const { rows } = await sql<{ name: string; bytes: number }>`
    select distinct on (name) name, octet_length(sealed) as bytes ${visible(scope, names)}`.execute(db);
  return new Map(rows.map(({ name, bytes }) => [name, bytes - sealedOverheadBytes]));
}

function visible({ namespace, queue }: SecretScope, names: readonly string[]) {
  return sql`from secrets
    where name = any(${names}::text[]) and namespace in ('', ${namespace}) and queue in ('', ${queue})
    order by name, namespace <> '' desc, queue <> '' desc`;
}
