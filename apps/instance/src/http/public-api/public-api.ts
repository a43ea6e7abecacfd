import type { FastifyInstance, FastifyRequest } from "fastify";
import { answerExecutorError } from "../executor-api/answer-executor-error.ts";
import { ExecutorApiError } from "../executor-api/authenticate-executor.ts";
import { sourceCliVersion } from "../executor-api/source-cli-version.ts";
import { uploadRoutes } from "../executor-api/upload-routes.ts";
import type { InstanceContext } from "../shared/instance-context.ts";
import { secretEqual } from "../shared/secret-equal.ts";

/** `/.api`: what the `src` command line and installers of executors call. */
export async function publicApi(app: FastifyInstance, context: InstanceContext): Promise<void> {
  app.setErrorHandler(answerExecutorError);
  app.addHook("onRequest", async (_request, reply) => {
    reply.header("cache-control", "no-store");
  });
  // Installers ask for it without credentials.
  app.get("/src-cli/version", { config: { anyHost: true } }, async () => ({ version: sourceCliVersion }));
  await app.register(async (scope) => {
    // Before the body is read: a stranger's body costs nothing.
    scope.addHook("onRequest", async (request) => authenticateUser(request, context.administratorToken));
    uploadRoutes(scope, context);
  });
}

/** Only by the header, which no browser sends along by itself. `src` calls the scheme `token`. */
function authenticateUser(request: FastifyRequest, administratorToken: string): void {
  const token = /^(?:token|Bearer) +(\S+)$/i.exec(request.headers.authorization ?? "")?.[1];
  if (token === undefined || !secretEqual(token, administratorToken)) {
    throw new ExecutorApiError(401, "the token is not the administrator's: set SRC_ACCESS_TOKEN to it");
  }
}
