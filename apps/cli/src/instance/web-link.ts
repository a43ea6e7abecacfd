import type { Connection } from "./connection.ts";

/** URL of a job's page in the web UI. */
export function jobPage({ url }: Connection, id: number): string {
  return new URL(`jobs/${id}`, url).href;
}
