import type { ApiError } from "@airlock/api";
import { httpStatusOfCode } from "@airlock/job";
import type { FastifyInstance } from "fastify";
import { accessTokenPrefix } from "../accounts/access-tokens.ts";
import { executorTokenPrefix } from "../executors/executor-tokens.ts";

const prefixes = [accessTokenPrefix, executorTokenPrefix];

/** Addresses are written to logs of proxies and browsers, so a token in one is no secret any more. */
export function refuseTokensInAddresses(app: FastifyInstance): void {
  app.addHook("onRequest", async (request, reply) => {
    if (!prefixes.some((prefix) => request.url.includes(prefix))) return;
    const body: ApiError = {
      error: {
        code: "token-in-address",
        message: "a token must not be part of an address",
        hint: "Delete this token, because logs may have it by now. Send a new one in an Authorization header.",
      },
    };
    return reply.status(httpStatusOfCode("token-in-address")).header("cache-control", "no-store").send(body);
  });
}
