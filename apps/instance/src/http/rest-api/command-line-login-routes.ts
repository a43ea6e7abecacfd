import {
  BeginCommandLineLogin,
  BegunCommandLineLogin,
  CommandLineLoginView,
  ConfirmCommandLineLogin,
  ConfirmedCommandLineLogin,
  FinishCommandLineLogin,
  FinishedCommandLineLogin,
  ShortCode,
} from "@airlock/api";
import { AirlockError } from "@airlock/job";
import { z } from "zod";
import {
  beginLogin,
  confirmLogin,
  countTry,
  finishLogin,
  loginEnded,
  openLogin,
  refuseLogin,
} from "../../accounts/command-line-logins.ts";
import { recordAudit } from "../../audit/audit-log.ts";
import { inTransaction } from "../../store/in-transaction.ts";
import { InvalidRequestError } from "../shared/api-error.ts";
import { audited } from "../shared/audit-source.ts";
import type { InstanceContext } from "../shared/instance-context.ts";
import { ownAccount } from "./own-account.ts";
import { requireOwnPage } from "./session-cookie.ts";
import { errorAnswers, type ZodScope } from "./zod-scope.ts";

const bodyLimit = 16 * 1024;

/** Routes for command lines that have no token yet. */
export function commandLineLoginRoutes(app: ZodScope, context: InstanceContext): void {
  const { db } = context;
  const tags = ["session"];

  app.post(
    "/command-line-logins",
    {
      bodyLimit,
      schema: {
        tags,
        summary: "Begin the login of a command line",
        description:
          "A person opens the page, compares the code, and confirms. The page then shows a confirmation code, which " +
          "the person types into the command line. All of this ends after ten minutes.",
        security: [],
        body: BeginCommandLineLogin,
        response: { 201: BegunCommandLineLogin, ...errorAnswers },
      },
    },
    async (request, reply) => {
      requireOwnPage(request, context);
      const { secret, code, expiresAt } = await beginLogin(db, request.body.host, request.ip);
      return reply.status(201).send({ secret, code, page: `connect?code=${code}`, expiresAt: expiresAt.toISOString() });
    },
  );

  app.post(
    "/command-line-logins/token",
    {
      bodyLimit,
      schema: {
        tags,
        summary: "Finish the login of a command line with the confirmation code",
        description: "The fifth wrong code ends the login. The token is shown once.",
        security: [],
        body: FinishCommandLineLogin,
        response: { 201: FinishedCommandLineLogin, ...errorAnswers },
      },
    },
    async (request, reply) => {
      requireOwnPage(request, context);
      const { secret, confirmationCode } = request.body;
      // In a transaction of its own, because a wrong code must count.
      const { left } = await countTry(db, secret);
      const created = await inTransaction(db, async (transaction) => {
        const token = await finishLogin(transaction, secret, confirmationCode);
        if (!token) return null;
        const { id, name, scopes, expiresAt, user, session } = token;
        await recordAudit(
          transaction,
          { actor: user, via: "confirmation-code", credential: String(session), address: request.ip },
          [
            {
              action: "access-token.created",
              namespace: user,
              target: { kind: "access-token", name: String(id) },
              details: { name, scopes, expiresAt },
            },
          ],
        );
        return token;
      });
      if (!created) {
        if (left === 0) throw loginEnded();
        throw new AirlockError("the confirmation code is wrong, or the login is not confirmed yet", {
          code: "wrong-confirmation-code",
          hint: `Confirm the login on the page, and type the code that it then shows. Tries left: ${left}.`,
        });
      }
      const { user, session: _, ...token } = created;
      request.log.info({ user, token: token.id, scopes: token.scopes }, "access token created for a command line");
      return reply.status(201).send(token);
    },
  );
}

/** Routes for the person who confirms. An access token can't, because it must not create others. */
export function confirmationRoutes(app: ZodScope, { db }: InstanceContext): void {
  const tags = ["account"];
  const params = z.strictObject({ code: ShortCode });

  app.get(
    "/account/command-line-logins/:code",
    {
      schema: {
        tags,
        summary: "Show the login of a command line that waits for a confirmation",
        params,
        response: { 200: CommandLineLoginView, ...errorAnswers },
      },
    },
    async (request) => {
      ownAccount(request);
      return openLogin(db, request.params.code);
    },
  );

  app.post(
    "/account/command-line-logins/:code",
    {
      bodyLimit,
      schema: {
        tags,
        summary: "Confirm the login of a command line",
        description:
          "The answer has the confirmation code for the command line. Without it, nobody gets the token, so a link " +
          "from a stranger gives the stranger nothing.",
        params,
        body: ConfirmCommandLineLogin,
        response: { 200: ConfirmedCommandLineLogin, ...errorAnswers },
      },
    },
    async (request) => {
      const user = ownAccount(request);
      const { session } = user;
      if (session === null) throw new Error("an access token has the scope to confirm a login");
      const { name, scopes, expiresAt } = request.body;
      if (expiresAt !== null && new Date(expiresAt).getTime() <= Date.now()) {
        throw new InvalidRequestError(["expiresAt: must be in the future"]);
      }
      const confirmed = await audited(
        db,
        request,
        (transaction) => confirmLogin(transaction, request.params.code, session, { name, scopes, expiresAt }),
        () => ({ action: "command-line.confirmed", namespace: user.name, details: { name, scopes, expiresAt } }),
      );
      return { confirmationCode: confirmed.confirmationCode, expiresAt: confirmed.expiresAt.toISOString() };
    },
  );

  app.delete(
    "/account/command-line-logins/:code",
    {
      schema: {
        tags,
        summary: "Refuse the login of a command line, which ends it",
        params,
        response: { 204: z.null(), ...errorAnswers },
      },
    },
    async (request, reply) => {
      const user = ownAccount(request);
      const refused = await audited(
        db,
        request,
        (transaction) => refuseLogin(transaction, request.params.code),
        (done) => (done ? { action: "command-line.refused", namespace: user.name } : null),
      );
      if (!refused) throw loginEnded();
      return reply.status(204).send(null);
    },
  );
}
