import { ApiError } from "@airlock/api";
import { AirlockError } from "@airlock/job";
import type { FastifyInstance } from "fastify";
import type { ZodTypeProvider } from "fastify-type-provider-zod";

/** A Fastify scope whose routes are typed by their zod schemas. */
export type ZodScope = ReturnType<typeof withZod>;

export function withZod(app: FastifyInstance) {
  return app.withTypeProvider<ZodTypeProvider>();
}

/** Every error response has this shape. */
export const errorAnswers = { "4xx": ApiError, "5xx": ApiError } as const;

export function notFound(what: string): AirlockError {
  return new AirlockError(`${what} not found`, { code: "not-found" });
}
