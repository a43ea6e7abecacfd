import { IdentityList, LinkIdentityRequest, SetIdentityRequest, SignInLocation } from "@airlock/api";
import { AirlockError, errorMessage } from "@airlock/job";
import type { FastifyReply, FastifyRequest } from "fastify";
import { z } from "zod";
import { listIdentities, setIdentity, userOfIdentity } from "../../accounts/identities.ts";
import type { Account } from "../../accounts/passwords.ts";
import { applyGroups, groupsIn } from "../../oidc/apply-groups.ts";
import type { OidcClient, ProviderAccount } from "../../oidc/oidc-client.ts";
import { inTransaction } from "../../store/in-transaction.ts";
import { auditSource, senderOf } from "../shared/audit-source.ts";
import type { InstanceContext } from "../shared/instance-context.ts";
import { checkOwnPassword } from "./check-own-password.ts";
import { ownAccount } from "./own-account.ts";
import { requireLocalAccounts } from "./require-local-accounts.ts";
import { signIn } from "./session-cookie.ts";
import { pageOf, rememberFlow, type SignInFlow, takeFlow } from "./sign-in-flow.ts";
import { sendSignInProblem } from "./sign-in-problem.ts";
import { errorAnswers, type ZodScope } from "./zod-scope.ts";

const tags = ["session"];

/** For people who have no session yet: their browsers go through these addresses, and show what they answer. */
export function oidcRoutes(app: ZodScope, context: InstanceContext): void {
  app.get(
    "/sign-in/oidc",
    {
      schema: {
        tags,
        summary: "Go to the OpenID Connect provider to sign in",
        description: "Browsers get errors as a page.",
        security: [],
        querystring: z.object({ next: z.string().optional() }),
        response: { 302: z.null(), ...errorAnswers },
      },
    },
    async (request, reply) => {
      return orProblem(request, reply as FastifyReply, async () => {
        const { url, flow } = await clientOf(context).begin();
        rememberFlow(request, reply as FastifyReply, context, {
          ...flow,
          next: pageOf(request.query.next),
          linkTo: null,
        });
        return reply.redirect(url.href, 302) as FastifyReply;
      });
    },
  );

  app.get(
    "/sign-in/oidc/callback",
    {
      schema: {
        tags,
        summary: "Come back from the OpenID Connect provider, and begin a session",
        security: [],
        querystring: z.object({ state: z.string().optional() }),
        response: { 302: z.null(), ...errorAnswers },
      },
    },
    async (request, reply) => {
      return orProblem(request, reply as FastifyReply, async () => {
        const client = clientOf(context);
        const flow = takeFlow(request, reply as FastifyReply, context, request.query.state ?? "");
        if (flow === null) throw flowExpired();
        const account = await client.finish(new URL(request.url, "http://instance.invalid").search, flow);
        const user = await enter(request, context, client, { account, flow });
        const { sessionMs } = client.settings;
        await signIn(request, reply as FastifyReply, context, user, "openid-connect", sessionMs);
        request.log.info({ user: user.name }, "user signed in with OpenID Connect");
        return reply.redirect(flow.next, 302) as FastifyReply;
      });
    },
  );

  /** Answers a failure with a page, and puts it into the audit log. */
  async function orProblem(
    request: FastifyRequest,
    reply: FastifyReply,
    work: () => Promise<FastifyReply>,
  ): Promise<FastifyReply> {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof AirlockError)) throw error;
      if (error.code === "no-provider") return sendSignInProblem(request, reply, error);
      request.log.warn(
        { problem: error.message, cause: errorMessage(error.cause) },
        "sign-in with OpenID Connect failed",
      );
      await context.refusals.record(senderOf(request), {
        action: "session.refused",
        details: { code: error.code, with: "openid-connect", problem: error.message },
      });
      return sendSignInProblem(request, reply, error);
    }
  }
}

/** Finds or creates the user, and applies the provider's groups. */
async function enter(
  request: FastifyRequest,
  { db }: InstanceContext,
  { settings }: OidcClient,
  { account, flow }: { readonly account: ProviderAccount; readonly flow: SignInFlow },
): Promise<Account> {
  const { claims, issuer, subject } = account;
  const by = (actor: string) => ({ actor, via: "openid-connect", credential: null, address: request.ip }) as const;
  const nameClaim = claims[settings.nameClaim];
  const displayName =
    typeof claims.name === "string" ? claims.name.replaceAll("\0", "").toWellFormed().slice(0, 100) : "";
  return inTransaction(db, async (transaction) => {
    const user = await userOfIdentity(
      transaction,
      { issuer, subject },
      {
        linkTo: flow.linkTo,
        create: settings.createUsers ? { name: typeof nameClaim === "string" ? nameClaim : null, displayName } : null,
        by,
      },
    );
    const { groups: mapping, groupsClaim } = settings;
    if (mapping.size === 0) return user;
    const groups = groupsIn(claims[groupsClaim]);
    const { keptLastAdministrator } = await applyGroups(transaction, user, groups, { mapping, by: by(user.name) });
    if (keptLastAdministrator) {
      request.log.warn({ user: user.name }, "no group makes this user an administrator, but there is no other one");
    }
    return user;
  });
}

/** Linking accounts of users to accounts of the provider. */
export function identityRoutes(app: ZodScope, context: InstanceContext): void {
  const { db } = context;

  app.get(
    "/account/identities",
    {
      schema: {
        tags: ["account"],
        summary: "List the accounts of the OpenID Connect provider with which you can sign in",
        response: { 200: IdentityList, ...errorAnswers },
      },
    },
    async (request) => ({ identities: await listIdentities(db, ownAccount(request).id) }),
  );

  app.post(
    "/account/identities",
    {
      bodyLimit: 16 * 1024,
      schema: {
        tags: ["account"],
        summary: "Link your account to one of the OpenID Connect provider",
        description:
          "Needs a session and the password. Open the address of the answer in the same browser: the provider asks for its " +
          "account there.",
        body: LinkIdentityRequest,
        response: { 200: SignInLocation, ...errorAnswers },
      },
    },
    async (request, reply) => {
      const user = ownAccount(request);
      const client = clientOf(context);
      requireLocalAccounts(context);
      // An access token can't do this, so there is a session. Who found it must not add a way in of their own.
      const session = user.session ?? 0;
      await checkOwnPassword(request, context, { name: user.name, session, password: request.body.currentPassword });
      const { url, flow } = await client.begin();
      const linkTo = { user: user.id, session };
      rememberFlow(request, reply as FastifyReply, context, { ...flow, next: "/account", linkTo });
      return { location: url.href };
    },
  );

  app.put(
    "/users/:name/identity",
    {
      bodyLimit: 16 * 1024,
      schema: {
        tags: ["users"],
        summary: "Link a user to an account of the OpenID Connect provider, or to none",
        description: "The subject is the provider's id of the account. The user's sessions end.",
        params: z.strictObject({ name: z.string() }),
        body: SetIdentityRequest,
        response: { 204: z.null(), ...errorAnswers },
      },
    },
    async (request, reply) => {
      const { name } = request.params;
      const { subject } = request.body;
      const { issuer } = clientOf(context).settings;
      await setIdentity(db, name, { issuer, subject, by: auditSource(request) });
      request.log.info({ user: name, linked: subject !== null }, "identity set");
      return reply.status(204).send(null);
    },
  );
}

function clientOf({ oidc }: InstanceContext): OidcClient {
  if (oidc) return oidc;
  throw new AirlockError("this instance has no OpenID Connect provider", {
    code: "no-provider",
    hint: "The administrator sets AIRLOCK_OIDC_ISSUER.",
  });
}

function flowExpired(): AirlockError {
  return new AirlockError("this sign-in was finished before, took too long, or began in another browser", {
    code: "sign-in-expired",
    hint: "Sign in again, and allow cookies.",
  });
}
