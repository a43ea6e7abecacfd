import type { FastifyInstance } from "fastify";

declare module "fastify" {
  interface FastifyContextConfig {
    /** The route refuses requests without a valid token or session. */
    checksToken?: boolean;
  }
}

/** Declares that all routes of this scope check the token of an `Authorization` header. */
export function declareTokenChecks(app: FastifyInstance): void {
  app.addHook("onRoute", (route) => {
    route.config = { ...route.config, checksToken: true };
  });
}
