import type { FastifyRequest } from "fastify";
import type { EventStreamOptions } from "../shared/event-stream.ts";
import type { InstanceContext } from "../shared/instance-context.ts";
import { accessOf } from "../shared/route-access.ts";

/** Ends a stream when the instance stops or the credentials that opened it become invalid. */
export function streamOptions(request: FastifyRequest, context: InstanceContext): EventStreamOptions {
  const access = accessOf(request);
  return { stopping: context.stopping, stillAllowed: () => access.stillAllowed() };
}
