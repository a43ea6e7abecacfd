import { type ApiError, problemMediaType } from "@airlock/api";
import type { FastifyReply, FastifyRequest } from "fastify";
import { securityHeaders } from "./security-headers.ts";
import { problemOf, wantsProblem } from "./shared/problem-details.ts";

/** Answers URLs that the router can't parse, in the format of the API that they belong to. */
export function answerFrameworkError(
  error: Error & { readonly statusCode?: number },
  request: FastifyRequest,
  reply: FastifyReply,
): void {
  const status = error.statusCode ?? 400;
  reply.headers({ ...securityHeaders, "cache-control": "no-store" });
  if (!request.url.startsWith("/api/v1/")) {
    reply.status(status).type("text/plain; charset=utf-8").send("the request's address is malformed");
    return;
  }
  const body: ApiError = { error: { code: "invalid-request", message: "the request's address is malformed" } };
  // Hooks don't run for these errors.
  if (wantsProblem(request)) reply.status(status).type(problemMediaType).send(problemOf(body, status));
  else reply.status(status).send(body);
}
