import { type RawBuilder, sql } from "kysely";

/** Whether an account's name or display name contains the text, whatever its case. */
export function containsText(text: string): RawBuilder<boolean> {
  const needle = text.toLowerCase();
  return sql<boolean>`(position(${needle} in namespaces.name) > 0 or position(${needle} in lower(namespaces.display_name)) > 0)`;
}
