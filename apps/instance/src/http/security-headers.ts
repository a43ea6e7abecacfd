import type { FastifyInstance } from "fastify";

/**
 * Headers of every response, whatever it contains. Browsers must not sniff its type, show it as a page or in a frame,
 * run its scripts, or send its address as a referrer. The web UI overrides some of them.
 */
export const securityHeaders: Readonly<Record<string, string>> = {
  "content-security-policy": "default-src 'none'; frame-ancestors 'none'; sandbox",
  "x-content-type-options": "nosniff",
  "x-frame-options": "DENY",
  "referrer-policy": "no-referrer",
  "cross-origin-resource-policy": "same-origin",
};

const oneYear = 365 * 24 * 3600;

/** @param externalUrl Address at which people reach the instance. With https, browsers are told to stay with https. */
export function sendSecurityHeaders(app: FastifyInstance, externalUrl: string | null): void {
  const secure = externalUrl?.startsWith("https:") ?? false;
  app.addHook("onRequest", async (_request, reply) => {
    reply.headers(securityHeaders);
    if (secure) reply.header("strict-transport-security", `max-age=${oneYear}`);
  });
}
