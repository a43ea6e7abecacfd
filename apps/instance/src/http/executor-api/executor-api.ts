import { sharedSecretScheme } from "@airlock/api";
import type { FastifyInstance } from "fastify";
import type { InstanceContext } from "../shared/instance-context.ts";
import { guard } from "../shared/route-access.ts";
import { answerExecutorError } from "./answer-executor-error.ts";
import { artifactRoutes } from "./artifact-routes.ts";
import { authTestRoute } from "./auth-test-route.ts";
import { authenticateExecutor } from "./authenticate-executor.ts";
import { dequeueRoutes } from "./dequeue-routes.ts";
import { executorEventRoutes } from "./executor-event-routes.ts";
import { fileRoutes } from "./file-routes.ts";
import { gitRoutes } from "./git-routes.ts";
import { guardUploads } from "./guard-uploads.ts";
import { heartbeatRoutes } from "./heartbeat-routes.ts";
import { logRoutes } from "./log-routes.ts";
import { markRoutes } from "./mark-routes.ts";
import { refuseExecutor } from "./refuse-executor.ts";
import { sourceCliVersion } from "./source-cli-version.ts";
import { uploadRoutes } from "./upload-routes.ts";
import { usageRoutes } from "./usage-routes.ts";

/** `/.executors`: the routes that executors call, as the executor protocol describes them. */
export async function executorApi(app: FastifyInstance, context: InstanceContext): Promise<void> {
  // Parse every body as JSON: the protocol's clients don't always set the content type.
  const parseJson = app.getDefaultJsonParser("error", "ignore");
  app.removeAllContentTypeParsers();
  app.addContentTypeParser("*", { parseAs: "string" }, parseJson);
  app.setErrorHandler(answerExecutorError);
  app.setNotFoundHandler(async (_request, reply) => {
    return reply.status(404).type("text/plain; charset=utf-8").send("no such route");
  });
  app.addHook("onRequest", async (_request, reply) => {
    reply.header("cache-control", "no-store");
  });
  await app.register(async (scope) => {
    guard(scope, {
      authenticate: (request) => authenticateExecutor(request, context),
      refuse: refuseExecutor,
    });
    authTestRoute(scope, context);
    dequeueRoutes(scope, context);
    heartbeatRoutes(scope, context);
    executorEventRoutes(scope, context);
    scope.get("/queue/src-cli/version", async () => ({ version: sourceCliVersion }));
  });
  await app.register(async (scope) => {
    guardUploads(scope, {
      db: context.db,
      trusted: {
        actor: { kind: "executor", legacy: false },
        schemes: [sharedSecretScheme],
        token: context.sharedSecret,
      },
      refusal: "an upload wants the shared secret or the token of a job",
    });
    uploadRoutes(scope, context);
  });
  await app.register(async (scope) => fileRoutes(scope, context));
  await app.register(async (scope) => {
    logRoutes(scope, context);
    markRoutes(scope, context);
    usageRoutes(scope, context);
  });
  await app.register(async (scope) => artifactRoutes(scope, context));
  await app.register(async (scope) => gitRoutes(scope, context));
}
