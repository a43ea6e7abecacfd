import type { FastifyInstance } from "fastify";

/**
 * What every answer says to browsers, whatever it holds: it is what its type says and no page, no frame and no script of
 * ours, and where a reader came from is nobody's business. The web UI says more about itself.
 */
export const securityHeaders: Readonly<Record<string, string>> = {
  "content-security-policy": "default-src 'none'; frame-ancestors 'none'; sandbox",
  "x-content-type-options": "nosniff",
  "x-frame-options": "DENY",
  "referrer-policy": "no-referrer",
  "cross-origin-resource-policy": "same-origin",
};

const oneYear = 365 * 24 * 3600;

/** @param externalUrl Where people reach the instance: with https, their browsers are told to stay with it. */
export function sendSecurityHeaders(app: FastifyInstance, externalUrl: string | null): void {
  const secure = externalUrl?.startsWith("https:") ?? false;
  app.addHook("onRequest", async (_request, reply) => {
    reply.headers(securityHeaders);
    if (secure) reply.header("strict-transport-security", `max-age=${oneYear}`);
  });
}
