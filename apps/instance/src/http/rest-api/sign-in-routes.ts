import {
  ChangePasswordRequest,
  SessionEntryList,
  SessionView,
  SetUpRequest,
  SignInMethods,
  SignInRequest,
  UsePasswordLinkRequest,
} from "@airlock/api";
import { z } from "zod";
import { checkPassword, hashNewPassword, storePassword, usePasswordLink } from "../../accounts/passwords.ts";
import { endUserSession, endUserSessions, listUserSessions } from "../../accounts/user-sessions.ts";
import { createFirstAdministrator, hasUsers } from "../../accounts/users.ts";
import { recordAudit } from "../../audit/audit-log.ts";
import { audited } from "../shared/audit-source.ts";
import type { InstanceContext } from "../shared/instance-context.ts";
import { checkOwnPassword, recordRefusedSignIn } from "./check-own-password.ts";
import { ownAccount } from "./own-account.ts";
import { requireLocalAccounts } from "./require-local-accounts.ts";
import { browserOf, requireOwnPage, signIn } from "./session-cookie.ts";
import { errorAnswers, notFound, type ZodScope } from "./zod-scope.ts";

const bodyLimit = 16 * 1024;
const signedIn = z.object({ name: z.string() });

/** Routes for people who have no session yet. */
export function signInRoutes(app: ZodScope, context: InstanceContext): void {
  const { db } = context;
  const tags = ["session"];

  app.get(
    "/sign-in",
    {
      schema: {
        tags,
        summary: "Show how people can sign in",
        security: [],
        response: { 200: SignInMethods, ...errorAnswers },
      },
    },
    async () => ({
      password: context.config.localAccounts,
      openIdConnect: context.oidc && { label: context.oidc.settings.label, path: "/api/v1/sign-in/oidc" },
      needsSetUp: !(await hasUsers(db)),
    }),
  );

  app.post(
    "/sign-in",
    {
      bodyLimit,
      schema: {
        tags,
        summary: "Begin a session with a name and a password",
        description:
          "Too many wrong attempts from one address, or for one account from browsers that never signed in to it, are " +
          "answered with 429 for some minutes.",
        security: [],
        body: SignInRequest,
        response: { 200: signedIn, ...errorAnswers },
      },
    },
    async (request, reply) => {
      requireLocalAccounts(context);
      requireOwnPage(request, context);
      const { name } = request.body;
      const from = { address: request.ip, browser: browserOf(request, context, name) };
      const user = await checkPassword(db, request.body, from).catch(async (error: unknown) => {
        await recordRefusedSignIn(request, context, name, error);
        throw error;
      });
      await signIn(request, reply, context, user, "password");
      request.log.info({ user: user.name }, "user signed in");
      return { name: user.name };
    },
  );

  app.post(
    "/password",
    {
      bodyLimit,
      schema: {
        tags,
        summary: "Set a password with a one-time link, and begin a session",
        security: [],
        body: UsePasswordLinkRequest,
        response: { 200: signedIn, ...errorAnswers },
      },
    },
    async (request, reply) => {
      requireLocalAccounts(context);
      requireOwnPage(request, context);
      const { token, password } = request.body;
      const user = await usePasswordLink(db, token, password, (transaction, { name }) => {
        const by = { actor: name, via: "password-link", credential: null, address: request.ip } as const;
        const target = { kind: "user", name };
        return recordAudit(transaction, by, [{ action: "password.link-used", namespace: name, target }]);
      });
      await signIn(request, reply, context, user, "password-link");
      request.log.info({ user: user.name }, "password set with a link");
      return { name: user.name };
    },
  );
}

/** Routes about the caller's own account, and the creation of the first one. */
export function ownAccountRoutes(app: ZodScope, context: InstanceContext): void {
  const { db } = context;
  const tags = ["account"];

  app.post(
    "/setup",
    {
      bodyLimit,
      schema: {
        tags,
        summary: "Create the first user, an administrator, and begin a session",
        description:
          "Needs the administrator's token, or a session that was begun with it. Refused once there is a user.",
        body: SetUpRequest,
        response: { 201: signedIn, ...errorAnswers },
      },
    },
    async (request, reply) => {
      requireLocalAccounts(context);
      const { name, displayName, password } = request.body;
      const hash = await hashNewPassword(password, name);
      const user = await audited(
        db,
        request,
        (transaction) => createFirstAdministrator(transaction, { name, displayName, password: hash }),
        () => ({
          action: "user.created",
          namespace: name,
          target: { kind: "user", name },
          details: { role: "administrator" },
        }),
      );
      await signIn(request, reply, context, user, "administrator-token");
      request.log.info({ user: name }, "first administrator created");
      return reply.status(201).send({ name });
    },
  );

  app.get(
    "/account/sessions",
    {
      schema: {
        tags,
        summary: "List the browsers in which you are signed in",
        response: { 200: SessionEntryList, ...errorAnswers },
      },
    },
    async (request) => {
      const user = ownAccount(request);
      return { sessions: await listUserSessions(db, user.id, user.session) };
    },
  );

  app.delete(
    "/account/sessions",
    {
      schema: { tags, summary: "End all your other sessions", response: { 204: z.null(), ...errorAnswers } },
    },
    async (request, reply) => {
      const user = ownAccount(request);
      await audited(
        db,
        request,
        (transaction) => endUserSessions(transaction, user.id, user.session),
        () => ({
          action: "session.ended",
          namespace: user.name,
          target: { kind: "user", name: user.name },
          details: { all: true, except: user.session },
        }),
      );
      return reply.status(204).send(null);
    },
  );

  app.delete(
    "/account/sessions/:id",
    {
      schema: {
        tags,
        summary: "End one of your sessions",
        params: z.strictObject({ id: z.coerce.number().int().positive().max(Number.MAX_SAFE_INTEGER) }),
        response: { 204: z.null(), ...errorAnswers },
      },
    },
    async (request, reply) => {
      const { id } = request.params;
      const user = ownAccount(request);
      const ended = await audited(
        db,
        request,
        (transaction) => endUserSession(transaction, user.id, id),
        (done) =>
          done
            ? { action: "session.ended", namespace: user.name, target: { kind: "session", name: String(id) } }
            : null,
      );
      if (!ended) throw notFound(`session ${id}`);
      return reply.status(204).send(null);
    },
  );

  app.put(
    "/account/password",
    {
      bodyLimit,
      schema: {
        tags,
        summary: "Change your password, which ends all your other sessions",
        body: ChangePasswordRequest,
        response: { 200: SessionView.pick({ version: true }), ...errorAnswers },
      },
    },
    async (request, reply) => {
      const user = ownAccount(request);
      requireLocalAccounts(context);
      const { currentPassword, password } = request.body;
      await checkOwnPassword(request, context, { ...user, password: currentPassword });
      const hash = await hashNewPassword(password, user.name);
      await audited(
        db,
        request,
        (transaction) => storePassword(transaction, user.id, hash, user.session),
        () => ({ action: "password.changed", namespace: user.name, target: { kind: "user", name: user.name } }),
      );
      // A new cookie: a copy of the old one must not outlive the change.
      await signIn(request, reply, context, user, "password");
      request.log.info({ user: user.name }, "password changed");
      return { version: context.version };
    },
  );
}
