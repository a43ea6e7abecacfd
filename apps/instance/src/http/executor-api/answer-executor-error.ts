import { escapeHiddenInLines } from "@airlock/api";
import { httpStatusOfCode, isNoSpace } from "@airlock/job";
import type { FastifyReply, FastifyRequest } from "fastify";
import { isDatabaseAway } from "../../store/database-away.ts";
import { databaseAway, databaseRetryAfter, httpStatusOf, isUnstorableText, noSpaceHint } from "../shared/api-error.ts";
import { ExecutorApiError } from "./authenticate-executor.ts";

/** Errors as the protocol wants them: 500s of handlers are `{"error": …}`, all else is plain text. */
export function answerExecutorError(error: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const status = httpStatusOf(error);
  if (error instanceof ExecutorApiError) {
    if (status >= 500) request.log.warn({ url: request.url, problem: error.message }, "executor request refused");
    // The message may quote a name from the request.
    const message = escapeHiddenInLines(error.message);
    return error.json
      ? reply.status(status).send({ error: message })
      : reply.status(status).type("text/plain; charset=utf-8").send(message);
  }
  if (isUnstorableText(error)) {
    return reply.status(400).type("text/plain; charset=utf-8").send("the request contains text that cannot be stored");
  }
  if (isDatabaseAway(error)) {
    request.log.warn({ err: error }, "executor request failed: the database does not respond");
    return reply.status(503).header("retry-after", databaseRetryAfter).send({ error: databaseAway });
  }
  if (status < 500 && error instanceof Error) {
    return reply.status(status).type("text/plain; charset=utf-8").send(error.message);
  }
  request.log.error({ err: error }, "executor request failed");
  if (isNoSpace(error)) {
    return reply
      .status(httpStatusOfCode("no-space"))
      .send({ error: `no space left on a disk of the instance. ${noSpaceHint}` });
  }
  return reply.status(500).send({ error: "internal error; see the log of the instance" });
}
