import { isIP } from "node:net";
import { hostname } from "node:os";
import type { ApiError } from "@airlock/api";
import { httpStatusOfCode } from "@airlock/job";
import type { FastifyInstance } from "fastify";
import type { InstanceConfig } from "../config/instance-config.ts";

declare module "fastify" {
  interface FastifyContextConfig {
    /** The route tells nothing that depends on the instance, so that any page may read it. */
    anyHost?: boolean;
  }
}

/**
 * Protects against DNS rebinding: a page of another site makes its own host name resolve to the instance's address. The
 * browser then takes the instance for that site, and lets the page read every answer that needs no token. Only the
 * `Host` header still shows the other site's name.
 *
 * Requests with an `Authorization` header are let through to routes that check the token, because a page does not know
 * it. So are IP addresses and names without a dot: no site can have them.
 */
export function checkHosts(
  app: FastifyInstance,
  config: Pick<InstanceConfig, "externalUrl" | "listen" | "allowedHosts">,
): void {
  const { externalUrl, listen, allowedHosts } = config;
  const names = new Set([
    ...allowedHosts,
    normalize(listen.host),
    normalize(hostname()),
    ...(externalUrl === null ? [] : [normalize(new URL(externalUrl).hostname)]),
  ]);
  app.addHook("onRequest", async (request, reply) => {
    const { host, authorization } = request.headers;
    const { anyHost, guarded } = request.routeOptions.config;
    // Only HTTP/1.0 clients send no host. Browsers always do.
    if (host === undefined || anyHost) return;
    // On other routes, any page could send the header with a made-up token.
    if (authorization !== undefined && guarded) return;
    if (isAllowed(host, names)) return;
    const body: ApiError = {
      error: {
        code: "unknown-host",
        message: `${JSON.stringify(host.slice(0, 255))} is not a host name of this instance`,
        hint:
          "Use the host of AIRLOCK_EXTERNAL_URL, or have the instance's administrator add this name to " +
          "AIRLOCK_ALLOWED_HOSTS.",
      },
    };
    return reply.status(httpStatusOfCode("unknown-host")).header("cache-control", "no-store").send(body);
  });
}

function isAllowed(host: string, names: ReadonlySet<string>): boolean {
  const url = `http://${host}/`;
  if (!/^[^/?#@\\\s]+$/.test(host) || !URL.canParse(url)) return false;
  const name = normalize(new URL(url).hostname);
  if (isIP(name.replace(/^\[|\]$/g, "")) !== 0) return true;
  if (!name.includes(".") || name.endsWith(".localhost")) return true;
  if (names.has("*") || names.has(name)) return true;
  const labels = name.split(".");
  return labels.some((_, index) => index > 0 && names.has(`*.${labels.slice(index).join(".")}`));
}

/** Names are compared without case and without the dot of the root. */
function normalize(name: string): string {
  return name.toLowerCase().replace(/\.$/, "");
}
