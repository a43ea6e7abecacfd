import { sql } from "kysely";
import type { Database } from "../store/database.ts";
import type { DequeuedJob } from "./dequeue-job.ts";
import { type JobNeed, listNeeds } from "./job-needs.ts";

/** Tells the job's submitter that an executor got the job although it ignores some of what the job asks for. */
export async function warnOfUnenforced(
  db: Database,
  job: Pick<DequeuedJob, "id" | "attempt" | "queue">,
  executor: string,
  needs: readonly JobNeed[],
): Promise<void> {
  const warning =
    `Attempt ${job.attempt} ran without its ${listNeeds(needs)}: executor "${executor}" does not support ` +
    `${needs.length === 1 ? "it" : "them"}, and queue "${job.queue}" allows that.`;
  await sql`update jobs set warnings = array_append(warnings, ${warning}::text) where id = ${job.id}`.execute(db);
}
