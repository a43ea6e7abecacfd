import type { FastifyRequest } from "fastify";
import type { EventStreamOptions } from "../shared/event-stream.ts";
import type { InstanceContext } from "../shared/instance-context.ts";
import { stillHolds } from "./authenticate-administrator.ts";

/** Ends a stream when the instance stops or the credentials that opened it become invalid. */
export function streamOptions(request: FastifyRequest, context: InstanceContext): EventStreamOptions {
  const { db, administratorToken, config, stopping } = context;
  return {
    stopping,
    stillAllowed: () => stillHolds(request, { db, administratorToken, externalUrl: config.externalUrl }),
  };
}
