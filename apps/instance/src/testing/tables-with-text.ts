import pg from "pg";
import { expect } from "vitest";

/** Names of the tables with a row that contains one of the texts. */
export async function tablesWithText(databaseUrl: string, texts: readonly string[]): Promise<string[]> {
  const client = new pg.Client({ connectionString: databaseUrl });
  await client.connect();
  try {
    const { rows: tables } = await client.query<{ name: string }>(
      "select quote_ident(tablename) as name from pg_tables where schemaname = 'public'",
    );
    expect(tables.length).toBeGreaterThan(10);
    const found: string[] = [];
    for (const { name } of tables) {
      const { rows } = await client.query(
        `select 1 from ${name} as t, unnest($1::text[]) as needle where position(needle in t::text) > 0 limit 1`,
        [[...texts, ...texts.map((text) => Buffer.from(text).toString("hex"))]],
      );
      if (rows.length > 0) found.push(name);
    }
    return found;
  } finally {
    await client.end();
  }
}
