import type { FastifyRequest } from "fastify";
import type { Actor } from "../../access/actor.ts";
import { type AuditEvent, type AuditSource, recordAudit } from "../../audit/audit-log.ts";
import type { Database } from "../../store/database.ts";
import { inTransaction } from "../../store/in-transaction.ts";
import { accessOf, knownAccessOf } from "./route-access.ts";

/** The sender of a request to a guarded route, for the audit log. */
export function auditSource(request: FastifyRequest, executorName = ""): AuditSource {
  return { ...identityOf(accessOf(request).actor, executorName), address: request.ip };
}

/** The sender of any request. Nobody, if its credentials prove nothing. */
export function senderOf(request: FastifyRequest): AuditSource {
  const actor = knownAccessOf(request)?.actor ?? { kind: "anonymous" };
  return { ...identityOf(actor, ""), address: request.ip };
}

function identityOf(actor: Actor, executorName: string): Omit<AuditSource, "address"> {
  switch (actor.kind) {
    case "anonymous":
      return { actor: "", via: "none", credential: null };
    case "user":
    case "administrator": {
      if (actor.user) {
        const { name, token, session } = actor.user;
        if (token !== null) return { actor: name, via: "access-token", credential: String(token) };
        return { actor: name, via: "session", credential: session === null ? null : String(session) };
      }
      const via = actor.via === "token" ? "administrator-token" : "administrator-session";
      return {
        actor: "administrator",
        via,
        credential: actor.kind === "administrator" ? (actor.session ?? null) : null,
      };
    }
    case "executor":
      return { actor: executorName, via: "shared-secret", credential: null };
    case "queue-executor":
      return { actor: executorName, via: "executor-token", credential: String(actor.token) };
    case "job":
      return { actor: actor.executor, via: "job-token", credential: `${actor.job}.${actor.attempt}` };
    default:
      return actor satisfies never;
  }
}

/**
 * Makes a change and records it, both or neither.
 * @param describe `null`: nothing changed.
 */
export async function audited<T>(
  db: Database,
  request: FastifyRequest,
  change: (transaction: Database) => Promise<T>,
  describe: (result: T) => AuditEvent | null,
): Promise<T> {
  const by = auditSource(request);
  return inTransaction(db, async (transaction) => {
    const result = await change(transaction);
    const event = describe(result);
    if (event) await recordAudit(transaction, by, [event]);
    return result;
  });
}
