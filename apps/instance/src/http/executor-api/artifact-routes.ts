import { PassThrough } from "node:stream";
import { ArtifactUploadQuery, executorHeaders } from "@airlock/api";
import { AirlockError, formatBytes } from "@airlock/job";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { storeArtifact } from "../../artifacts/store-artifact.ts";
import type { InstanceContext } from "../shared/instance-context.ts";
import { ExecutorApiError } from "./authenticate-executor.ts";
import { JobScope } from "./job-scope.ts";
import { parseBody } from "./parse-body.ts";

type QueueParams = { Params: { queue: string } };

/** An upload that brings nothing for this long is over. The store may hold it up as well as the sender. */
const idleTimeoutMs = 60_000;
/** What is sent past the limit is read and dropped for this long, so that the answer is seen. */
const drainMs = 10_000;

/** `PUT queue/{queue}/artifacts`: what a job's attempt hands in, streamed into the blob store. */
export function artifactRoutes(app: FastifyInstance, context: InstanceContext): void {
  const { config, db, blobs, notifications } = context;
  const scope = new JobScope(app, context);
  // The body goes to the store as it comes.
  app.removeAllContentTypeParsers();
  app.addContentTypeParser("*", (_request, payload, done) => done(null, payload));

  app.put<QueueParams>("/queue/:queue/artifacts", { config: { streamsBody: true } }, async (request, reply) => {
    const { attempt, name, kind } = parseBody(ArtifactUploadQuery, request.query);
    const jobId = Number(request.headers[executorHeaders.jobId]);
    const executorName = String(request.headers[executorHeaders.executorName]);
    const key = await scope.attemptOf(request, request.params.queue, { attempt, jobId, executorName });
    if (key === null) return refuse(request, reply, 409, `attempt ${attempt} of job ${jobId} is not running`);
    const { maxArtifactBytes } = config;
    const tooLarge = () =>
      refuse(request, reply, 413, `the artifacts of an attempt may hold ${formatBytes(maxArtifactBytes)} together`);
    if (Number(request.headers["content-length"] ?? 0) > maxArtifactBytes) return tooLarge();
    try {
      const quotaBytes = config.artifactQuotaBytes;
      const options = { maxBytes: maxArtifactBytes, quotaBytes, signal: context.stopping };
      const result = await storeArtifact({ db, blobs }, key, { name, kind, body: bodyOf(request) }, options);
      if (result.kind === "lapsed") return refuse(request, reply, 409, `attempt ${attempt} is not running any more`);
      if (result.kind === "refused") return refuse(request, reply, 422, result.problem);
      notifications.publish({ kind: "job", job: jobId });
      request.log.info({ jobId, attempt, artifact: name, bytes: result.bytes }, "artifact stored");
      return reply.status(204).send();
    } catch (error) {
      if (error instanceof AirlockError && error.code === "blob-too-large") return tooLarge();
      if (request.raw.destroyed && !request.raw.complete) throw new ExecutorApiError(400, "the upload broke off");
      throw error;
    }
  });
}

/** The body apart from its socket: the store destroys what it is given, and an answer must still get through. */
function bodyOf(request: FastifyRequest): PassThrough {
  const { raw } = request;
  const body = new PassThrough();
  const cut = (why: string) => body.destroy(new Error(why));
  const idle = setTimeout(() => cut(`nothing came for ${idleTimeoutMs} ms`), idleTimeoutMs);
  raw.on("data", () => idle.refresh());
  raw.once("close", () => {
    if (!raw.complete) cut("the executor hung up");
  });
  body.once("close", () => clearTimeout(idle));
  // A reader attaches later; until then an error must not end the process.
  body.on("error", () => {});
  raw.pipe(body);
  return body;
}

function refuse(request: FastifyRequest, reply: FastifyReply, status: number, text: string): FastifyReply {
  const { raw } = request;
  if (!raw.complete) {
    reply.header("connection", "close");
    raw.unpipe();
    raw.resume();
    const timer = setTimeout(() => raw.destroy(), drainMs);
    raw.once("close", () => clearTimeout(timer));
    raw.once("end", () => clearTimeout(timer));
  }
  return reply.status(status).type("text/plain; charset=utf-8").send(text);
}
