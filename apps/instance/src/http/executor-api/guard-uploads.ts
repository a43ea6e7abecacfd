import type { FastifyInstance, FastifyRequest } from "fastify";
import type { Actor } from "../../access/actor.ts";
import type { Database } from "../../store/database.ts";
import { accessOf, guard } from "../shared/route-access.ts";
import { secretEqual } from "../shared/secret-equal.ts";
import { ExecutorApiError, findJobActor } from "./authenticate-executor.ts";
import { refuseExecutor } from "./refuse-executor.ts";

interface UploaderOptions {
  readonly db: Database;
  /** The user or the executor who may upload any index, with the schemes and the token of their credentials. */
  readonly trusted: { readonly actor: Actor; readonly schemes: readonly string[]; readonly token: string | null };
  /** The refusal of every other token. */
  readonly refusal: string;
}

/** The schemes with which clients send a job's token. `src` sends what its environment names, or `token`. */
const jobSchemes = ["bearer", "token", "token-executor"];

/** Guards the routes for uploads of code indexes: for a user or an executor, or for one running attempt of a job. */
export function guardUploads(app: FastifyInstance, options: UploaderOptions): void {
  guard(app, {
    authenticate: (request) => authenticateUploader(request, options),
    refuse: (refusal) =>
      refusal === "attempt-ended"
        ? new ExecutorApiError(403, "the attempt of this job has ended")
        : refuseExecutor(refusal),
  });
  // Refuses an ended attempt before the body is read.
  app.addHook("onRequest", async (request) => accessOf(request).require({}));
}

async function authenticateUploader(request: FastifyRequest, options: UploaderOptions): Promise<Actor> {
  const { db, trusted, refusal } = options;
  const match = /^([A-Za-z-]+) +(\S+)$/.exec(request.headers.authorization ?? "");
  if (!match) throw new ExecutorApiError(401, refusal);
  const [, scheme = "", token = ""] = match;
  const isTrusted = trusted.token !== null && trusted.schemes.includes(scheme.toLowerCase());
  if (isTrusted && secretEqual(token, trusted.token)) return trusted.actor;
  if (!jobSchemes.includes(scheme.toLowerCase())) throw new ExecutorApiError(401, refusal);
  const actor = await findJobActor(db, token);
  if (!actor) throw new ExecutorApiError(401, refusal);
  return actor;
}
