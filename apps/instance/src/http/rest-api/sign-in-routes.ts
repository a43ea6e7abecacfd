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
import type { InstanceContext } from "../shared/instance-context.ts";
import { ownAccount } from "./own-account.ts";
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
    async () => ({ password: true, openIdConnect: null, needsSetUp: !(await hasUsers(db)) }),
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
      requireOwnPage(request, context);
      const { name } = request.body;
      const from = { address: request.ip, browser: browserOf(request, context, name) };
      const user = await checkPassword(db, request.body, from);
      await signIn(request, reply, context, user);
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
      requireOwnPage(request, context);
      const user = await usePasswordLink(db, request.body.token, request.body.password);
      await signIn(request, reply, context, user);
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
      const { name, displayName, password } = request.body;
      const hash = await hashNewPassword(password, name);
      const user = await createFirstAdministrator(db, { name, displayName, password: hash });
      await signIn(request, reply, context, user);
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
      await endUserSessions(db, user.id, user.session);
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
      if (!(await endUserSession(db, ownAccount(request).id, id))) throw notFound(`session ${id}`);
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
      const { currentPassword, password } = request.body;
      // Whoever found an open session must not guess the password without limit.
      const from = { address: request.ip, browser: `session ${user.session}` };
      await checkPassword(db, { name: user.name, password: currentPassword }, from);
      await storePassword(db, user.id, await hashNewPassword(password, user.name), user.session);
      // A new cookie: a copy of the old one must not outlive the change.
      await signIn(request, reply, context, user);
      request.log.info({ user: user.name }, "password changed");
      return { version: context.version };
    },
  );
}
