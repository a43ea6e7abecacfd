import { Readable } from "node:stream";
import { AuditExportQuery, AuditPage, AuditQuery, escapeHiddenInJson } from "@airlock/api";
import { AirlockError } from "@airlock/job";
import type { FastifyReply, FastifyRequest } from "fastify";
import { z } from "zod";
import { recordAudit } from "../../audit/audit-log.ts";
import { type AuditReader, exportAudit, readAudit } from "../../audit/read-audit.ts";
import { auditSource } from "../shared/audit-source.ts";
import type { InstanceContext } from "../shared/instance-context.ts";
import { accessOf } from "../shared/route-access.ts";
import { errorAnswers, type ZodScope } from "./zod-scope.ts";

const tags = ["audit"];

export function auditRoutes(app: ZodScope, { db }: InstanceContext): void {
  app.get(
    "/audit",
    {
      schema: {
        tags,
        summary: "List who did what, newest first",
        description:
          "Administrators see all entries. Owners see those about their organizations and their own account, without the " +
          "addresses and sessions of others.",
        querystring: AuditQuery,
        response: { 200: AuditPage, ...errorAnswers },
      },
    },
    async (request) => readAudit(db, request.query, readerOf(request)),
  );

  app.get(
    "/audit/export",
    {
      schema: {
        tags,
        summary: "All entries of the audit log up to now, oldest first, as lines of JSON",
        querystring: AuditExportQuery,
        response: { 200: { content: { "application/x-ndjson": { schema: z.string() } } }, ...errorAnswers },
      },
    },
    async (request, reply) => {
      const { query } = request;
      readerOf(request);
      await recordAudit(db, auditSource(request), [{ action: "audit.exported", details: { ...query } }]);
      // The schema describes text; the response is a stream of it.
      return (reply as FastifyReply)
        .header("content-type", "application/x-ndjson; charset=utf-8")
        .send(Readable.from(lines(request, query), { objectMode: false }));
    },
  );

  async function* lines(request: FastifyRequest, query: AuditExportQuery): AsyncGenerator<string> {
    const reader = async () => {
      if (await accessOf(request).stillAllowed()) return readerOf(request);
      throw new AirlockError("the reader may no longer read the audit log", { code: "not-permitted" });
    };
    for await (const entry of exportAudit(db, query, reader)) yield `${escapeHiddenInJson(JSON.stringify(entry))}\n`;
  }
}

function readerOf(request: FastifyRequest): AuditReader {
  const access = accessOf(request);
  const { actor } = access;
  return { visible: access.namespaces(), name: actor.kind === "user" ? actor.user.name : null };
}
