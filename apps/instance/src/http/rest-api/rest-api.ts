import { describeIssues } from "@airlock/api";
import swagger from "@fastify/swagger";
import type { FastifyInstance } from "fastify";
import { z } from "zod";
import { InvalidRequestError } from "../shared/api-error.ts";
import type { InstanceContext } from "../shared/instance-context.ts";
import { noSuchRoute } from "../shared/no-such-route.ts";
import { type Credentials, guard } from "../shared/route-access.ts";
import { accountRoutes } from "./account-routes.ts";
import { artifactRoutes } from "./artifact-routes.ts";
import { auditRoutes } from "./audit-routes.ts";
import { authenticatePerson } from "./authenticate-person.ts";
import { commandLineLoginRoutes, confirmationRoutes } from "./command-line-login-routes.ts";
import { describeRoute } from "./describe-route.ts";
import { eventRoutes } from "./event-routes.ts";
import { executorRoutes } from "./executor-routes.ts";
import { executorTokenRoutes } from "./executor-token-routes.ts";
import { answerRepetitions } from "./idempotency.ts";
import { jobRoutes } from "./job-routes.ts";
import { identityRoutes, oidcRoutes } from "./oidc-routes.ts";
import { queueRoutes } from "./queue-routes.ts";
import { refusePerson } from "./refuse-person.ts";
import { repositoryRoutes } from "./repository-routes.ts";
import { secretRoutes } from "./secret-routes.ts";
import { currentSessionRoute, sessionRoutes } from "./session-routes.ts";
import { ownAccountRoutes, signInRoutes } from "./sign-in-routes.ts";
import { tokenRoutes } from "./token-routes.ts";
import { usageRoutes } from "./usage-routes.ts";
import { userAccessRoutes } from "./user-access-routes.ts";
import { webhookRoutes } from "./webhook-routes.ts";
import { withZod } from "./zod-scope.ts";

/**
 * `/api/v1`: for the web UI, the CLI and programs. Everything but the session and the API description needs
 * credentials.
 */
export async function restApi(plain: FastifyInstance, context: InstanceContext): Promise<void> {
  const app = withZod(plain);
  app.setValidatorCompiler(({ schema }) => (data) => {
    const parsed = z.safeParse(schema as unknown as z.ZodType, data);
    return parsed.success ? { value: parsed.data } : { error: new InvalidRequestError(describeIssues(parsed.error)) };
  });
  // Responses are built from typed views, so validating them again at run time would be wasted work.
  app.setSerializerCompiler(() => (data) => JSON.stringify(data));
  app.setNotFoundHandler((_request, reply) => reply.status(404).send(noSuchRoute));
  app.addHook("onRequest", async (_request, reply) => {
    reply.header("cache-control", "no-store");
  });
  await app.register(swagger, {
    openapi: {
      openapi: "3.1.0",
      info: { title: "Airlock", version: context.version, description: "Runs untrusted code in sandboxes." },
      servers: [{ url: context.config.externalUrl ?? "/" }],
      components: { securitySchemes: { token: { type: "http", scheme: "bearer" } } },
      security: [{ token: [] }],
    },
    transform: describeRoute,
  });
  app.get("/openapi.json", { schema: { hide: true } }, async () => plain.swagger());
  const { db, administratorToken } = context;
  const { externalUrl } = context.config;
  const credentials: Credentials = {
    authenticate: (request) => authenticatePerson(request, { db, administratorToken, externalUrl }),
    refuse: refusePerson,
  };
  await app.register(async (scope) => {
    sessionRoutes(withZod(scope), context);
    signInRoutes(withZod(scope), context);
    oidcRoutes(withZod(scope), context);
    commandLineLoginRoutes(withZod(scope), context);
  });
  await app.register(async (scope) => {
    guard(scope, credentials);
    answerRepetitions(scope, context);
    const typed = withZod(scope);
    currentSessionRoute(typed, context);
    ownAccountRoutes(typed, context);
    tokenRoutes(typed, context);
    confirmationRoutes(typed, context);
    jobRoutes(typed, context);
    artifactRoutes(typed, context);
    usageRoutes(typed, context);
    eventRoutes(typed, context);
    repositoryRoutes(typed, context);
    executorRoutes(typed, context);
    executorTokenRoutes(typed, context);
    queueRoutes(typed, context);
    secretRoutes(typed, context);
    accountRoutes(typed, context);
    identityRoutes(typed, context);
    userAccessRoutes(typed, context);
    auditRoutes(typed, context);
    webhookRoutes(typed, context);
  });
}
