import type { FastifyInstance } from "fastify";
import { payloadFileId } from "../../dispatch/job-payload.ts";
import type { InstanceContext } from "../shared/instance-context.ts";
import { accessOf } from "../shared/route-access.ts";
import { ExecutorApiError } from "./authenticate-executor.ts";
import { JobScope } from "./job-scope.ts";

/** Serves a job's files to its running attempt only. `HEAD` asks whether a file exists. */
export function fileRoutes(app: FastifyInstance, context: InstanceContext): void {
  new JobScope(app, context);

  app.get<{ Params: { job: string; file: string } }>("/files/batch-changes/:job/:file", async (request, reply) => {
    const id = /^[1-9]\d{0,15}$/.test(request.params.job) ? Number(request.params.job) : null;
    // No job has the number 0.
    accessOf(request).require({ job: id ?? 0 });
    const row =
      id === null
        ? undefined
        : await context.db
            .selectFrom("jobs")
            .select("spec")
            .where("id", "=", id)
            .where("state", "=", "processing")
            .executeTakeFirst();
    const found = Object.entries(row?.spec.files ?? {}).find(([path]) => payloadFileId(path) === request.params.file);
    if (!found) throw new ExecutorApiError(404, "file not found");
    return reply.type("application/octet-stream").send(Buffer.from(found[1]));
  });
}
