import { ApiErrorDocument, ProblemDetails, problemMediaType } from "@airlock/api";
import { AirlockError } from "@airlock/job";
import type { FastifyInstance } from "fastify";
import type { ZodTypeProvider } from "fastify-type-provider-zod";

/** A Fastify scope whose routes are typed by their zod schemas. */
export type ZodScope = ReturnType<typeof withZod>;

export function withZod(app: FastifyInstance) {
  return app.withTypeProvider<ZodTypeProvider>();
}

const errorAnswer = {
  description: "An error. A client whose Accept header names application/problem+json gets the form of RFC 9457.",
  content: { "application/json": { schema: ApiErrorDocument }, [problemMediaType]: { schema: ProblemDetails } },
};
/** Every error response has one of these shapes. */
export const errorAnswers = { "4xx": errorAnswer, "5xx": errorAnswer } as const;

/** The same error for a namespace that does not exist and for one that the caller must not know. */
export function unknownNamespace(name: string | null): AirlockError {
  return new AirlockError(`no namespace named "${name ?? ""}"`, {
    code: "unknown-namespace",
    hint: "Name yourself, or an organization that you are a member of. GET /api/v1/session lists them.",
  });
}

export function notFound(what: string): AirlockError {
  return new AirlockError(`${what} not found`, { code: "not-found" });
}
