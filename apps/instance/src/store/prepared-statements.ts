import type { QueryResult, RawBuilder } from "kysely";
import type { Database } from "./database.ts";

const textByName = new Map<string, string>();
const nameByText = new Map<string, string>();

/**
 * Runs a statement that each connection prepares once, so that later only its parameters are sent. For the few hot
 * statements that take longer to plan than to run. The text must not change with its input.
 */
export async function executePrepared<Row>(
  name: string,
  statement: RawBuilder<Row>,
  db: Database,
): Promise<QueryResult<Row>> {
  const compiled = statement.compile(db);
  const known = textByName.get(name);
  if (known === undefined) {
    textByName.set(name, compiled.sql);
    nameByText.set(compiled.sql, name);
  } else if (known !== compiled.sql) {
    throw new Error(`the prepared statement "${name}" has two texts`);
  }
  return await db.executeQuery(compiled);
}

/** The name under which a connection prepares this text. `undefined`: it is not prepared. */
export function nameOfPrepared(text: string): string | undefined {
  return nameByText.get(text);
}
