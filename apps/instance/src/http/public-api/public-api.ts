import type { FastifyInstance } from "fastify";
import { answerExecutorError } from "../executor-api/answer-executor-error.ts";
import { guardUploads } from "../executor-api/guard-uploads.ts";
import { sourceCliVersion } from "../executor-api/source-cli-version.ts";
import { uploadRoutes } from "../executor-api/upload-routes.ts";
import type { InstanceContext } from "../shared/instance-context.ts";

/** `/.api`: what the `src` command line and installers of executors call. */
export async function publicApi(app: FastifyInstance, context: InstanceContext): Promise<void> {
  app.setErrorHandler(answerExecutorError);
  app.addHook("onRequest", async (_request, reply) => {
    reply.header("cache-control", "no-store");
  });
  // Installers ask for it without credentials.
  app.get("/src-cli/version", { config: { anyHost: true } }, async () => ({ version: sourceCliVersion }));
  await app.register(async (scope) => {
    // Only by the header, which no browser sends along by itself. `src` calls the scheme `token`.
    guardUploads(scope, {
      db: context.db,
      trusted: {
        actor: { kind: "administrator", via: "token", user: null },
        schemes: ["token", "bearer"],
        token: context.administratorToken,
      },
      refusal: "the token is not the administrator's: set SRC_ACCESS_TOKEN to it",
    });
    uploadRoutes(scope, context);
  });
}
