import { AirlockError } from "@airlock/job";
import type { FastifyRequest } from "fastify";
import type { UserIdentity } from "../../access/actor.ts";
import { accessOf } from "../shared/route-access.ts";

/**
 * The user who sends the request.
 * @throws {AirlockError} `no-account` for the administrator's token.
 */
export function ownAccount(request: FastifyRequest): UserIdentity {
  const { actor } = accessOf(request);
  if ((actor.kind === "user" || actor.kind === "administrator") && actor.user) return actor.user;
  throw new AirlockError("the administrator's token has no account", {
    code: "no-account",
    hint: "Sign in with a name and a password.",
  });
}
