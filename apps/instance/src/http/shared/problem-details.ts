import { type ApiError, type ProblemDetails, problemMediaType } from "@airlock/api";
import { errorCodeGroups } from "@airlock/job";
import type { FastifyInstance, FastifyRequest } from "fastify";

const titles = new Map(
  Object.values(errorCodeGroups).flatMap((group) =>
    Object.entries(group).map(([code, { documentation }]) => [code, documentation]),
  ),
);

/** An error in the form of RFC 9457. */
export function problemOf({ error }: ApiError, status: number): ProblemDetails {
  const { code, message, hint, issues } = error;
  return {
    type: `urn:airlock:error:${code}`,
    title: titles.get(code) ?? code,
    status,
    detail: message,
    code,
    ...(hint === undefined ? {} : { hint }),
    ...(issues === undefined ? {} : { issues }),
  };
}

/** Whether the client names the media type of problems. Clients that only accept everything get the usual form. */
export function wantsProblem({ headers, url }: Pick<FastifyRequest, "headers" | "url">): boolean {
  if (!url.startsWith("/api/v1/")) return false;
  return (headers.accept ?? "").split(",").some((range) => {
    const [type = "", ...parameters] = range.split(";").map((part) => part.trim().toLowerCase());
    return type === problemMediaType && !parameters.some((parameter) => /^q=0(?:\.0*)?$/.test(parameter));
  });
}

/** Sends the errors of the REST API as problems to the clients that ask for them. */
export function sendProblems(app: FastifyInstance): void {
  app.addHook("preSerialization", async (request, reply, payload) => {
    if (reply.statusCode < 400 || !isApiError(payload) || !wantsProblem(request)) return payload;
    reply.type(problemMediaType);
    return problemOf(payload, reply.statusCode);
  });
}

function isApiError(payload: unknown): payload is ApiError {
  return typeof payload === "object" && payload !== null && "error" in payload && typeof payload.error === "object";
}
