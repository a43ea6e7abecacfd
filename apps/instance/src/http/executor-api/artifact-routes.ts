import { ArtifactUploadQuery, executorHeaders } from "@airlock/api";
import { AirlockError, formatBytes } from "@airlock/job";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { storeArtifact } from "../../artifacts/store-artifact.ts";
import { announcedBytes, detachBody, discardBody } from "../shared/detach-body.ts";
import type { InstanceContext } from "../shared/instance-context.ts";
import { leaveBodies } from "../shared/read-bodies.ts";
import { ExecutorApiError } from "./authenticate-executor.ts";
import { JobScope } from "./job-scope.ts";
import { parseBody } from "./parse-body.ts";

type QueueParams = { Params: { queue: string } };

/** `PUT queue/{queue}/artifacts`: streams an artifact of an attempt into the blob store. */
export function artifactRoutes(app: FastifyInstance, context: InstanceContext): void {
  const { config, db, blobs, notifications } = context;
  const scope = new JobScope(app, context);
  // The body streams into the store.
  leaveBodies(app);

  app.put<QueueParams>("/queue/:queue/artifacts", { config: { streamsBody: true } }, async (request, reply) => {
    const { attempt, name, kind } = parseBody(ArtifactUploadQuery, request.query);
    const jobId = Number(request.headers[executorHeaders.jobId]);
    const executorName = String(request.headers[executorHeaders.executorName]);
    const key = await scope.attemptOf(request, request.params.queue, { attempt, jobId, executorName });
    if (key === null) return refuse(request, reply, 409, `attempt ${attempt} of job ${jobId} is not running`);
    const { maxArtifactBytes } = config;
    const tooLarge = () =>
      refuse(request, reply, 413, `the artifacts of an attempt may have ${formatBytes(maxArtifactBytes)} in total`);
    if (Number(request.headers["content-length"] ?? 0) > maxArtifactBytes) return tooLarge();
    try {
      const options = { maxBytes: maxArtifactBytes, quota: config.storageQuotas.artifacts, signal: context.stopping };
      const artifact = { name, kind, body: detachBody(request), announcedBytes: announcedBytes(request) };
      const result = await storeArtifact({ db, blobs }, key, artifact, options);
      if (result.kind === "lapsed") return refuse(request, reply, 409, `attempt ${attempt} is no longer running`);
      if (result.kind === "refused") return refuse(request, reply, 422, result.problem);
      notifications.publish({ kind: "job", job: jobId });
      request.log.info({ jobId, attempt, artifact: name, bytes: result.bytes }, "artifact stored");
      return reply.status(204).send();
    } catch (error) {
      if (error instanceof AirlockError && error.code === "blob-too-large") return tooLarge();
      if (error instanceof AirlockError && error.code === "quota-exceeded") {
        return refuse(request, reply, 413, `${error.message}. ${error.hint}`);
      }
      if (request.raw.destroyed && !request.raw.complete) throw new ExecutorApiError(400, "the upload was interrupted");
      throw error;
    }
  });
}

function refuse(request: FastifyRequest, reply: FastifyReply, status: number, text: string): FastifyReply {
  const { raw } = request;
  if (!raw.complete) {
    reply.header("connection", "close");
    discardBody(raw);
  }
  return reply.status(status).type("text/plain; charset=utf-8").send(text);
}
