import { AirlockError } from "@airlock/job";
import type { FastifyRequest } from "fastify";
import { checkPassword } from "../../accounts/passwords.ts";
import { senderOf } from "../shared/audit-source.ts";
import type { InstanceContext } from "../shared/instance-context.ts";

/**
 * Asks for the password of the user who sends the request. Who found an open session must not guess it without limit.
 * @throws {AirlockError} `sign-in-failed`, `too-many-attempts`.
 */
export async function checkOwnPassword(
  request: FastifyRequest,
  context: InstanceContext,
  given: { readonly name: string; readonly session: number | null; readonly password: string },
): Promise<void> {
  const from = { address: request.ip, browser: `session ${given.session}` };
  await checkPassword(context.db, given, from).catch(async (error: unknown) => {
    await recordRefusedSignIn(request, context, given.name, error);
    throw error;
  });
}

/**
 * Puts a wrong password into the audit log. Only names of existing users are recorded, because people type passwords into
 * the field for the name.
 */
export async function recordRefusedSignIn(
  request: FastifyRequest,
  { db, refusals }: InstanceContext,
  name: string,
  error: unknown,
): Promise<void> {
  if (!(error instanceof AirlockError)) return;
  const user = await db.selectFrom("users").select("name").where("name", "=", name).executeTakeFirst();
  await refusals.record(senderOf(request), {
    action: "session.refused",
    namespace: user?.name,
    ...(user ? { target: { kind: "user", name: user.name } } : {}),
    details: { code: error.code, with: "password" },
  });
}
