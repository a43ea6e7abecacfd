import { ArchiveListing, ArtifactList } from "@airlock/api";
import type { FastifyReply, FastifyRequest } from "fastify";
import { z } from "zod";
import { listArchive } from "../../artifacts/archives/list-archive.ts";
import { findArtifact, listArtifacts } from "../../artifacts/list-artifacts.ts";
import { recordAudit } from "../../audit/audit-log.ts";
import { namespaceOfJob } from "../../views/job-views.ts";
import { auditSource } from "../shared/audit-source.ts";
import { FairSlots } from "../shared/fair-slots.ts";
import type { InstanceContext } from "../shared/instance-context.ts";
import { accessOf } from "../shared/route-access.ts";
import { errorAnswers, notFound, type ZodScope } from "./zod-scope.ts";

const Id = z.coerce.number().int().positive().max(Number.MAX_SAFE_INTEGER);
const tags = ["jobs"];

export function artifactRoutes(app: ZodScope, context: InstanceContext): void {
  const { db, blobs } = context;
  const listings = new FairSlots({ total: 2, perHolder: 2 });

  async function requireJob(request: FastifyRequest, id: number): Promise<string> {
    const namespace = await namespaceOfJob(db, id);
    if (namespace === null) throw notFound(`job ${id}`);
    accessOf(request).require({ namespace }, notFound(`job ${id}`));
    return namespace;
  }

  app.get(
    "/jobs/:id/artifacts",
    {
      schema: {
        tags,
        summary: "List the artifacts of a job: files and workspace diffs",
        params: z.strictObject({ id: Id }),
        response: { 200: ArtifactList, ...errorAnswers },
      },
    },
    async (request) => {
      const { id } = request.params;
      await requireJob(request, id);
      return { artifacts: await listArtifacts(db, id) };
    },
  );

  app.get(
    "/jobs/:id/artifacts/:artifactId",
    {
      schema: {
        tags,
        summary: "Download an artifact",
        params: z.strictObject({ id: Id, artifactId: Id }),
        response: { 200: { content: { "application/octet-stream": { schema: z.string() } } }, ...errorAnswers },
      },
    },
    async (request, reply) => {
      const { id, artifactId } = request.params;
      const namespace = await requireJob(request, id);
      const artifact = await findArtifact(db, id, artifactId);
      if (!artifact) throw notFound(`artifact ${artifactId} of job ${id}`);
      const { attempt, name, sha256 } = artifact.view;
      await recordAudit(db, auditSource(request), [
        {
          action: "artifact.downloaded",
          namespace,
          job: id,
          target: { kind: "artifact", name },
          details: { artifact: artifactId, attempt },
        },
      ]);
      // Opened last, so that nothing can fail before the stream has a reader.
      const gone = new AbortController();
      reply.raw.once("close", () => gone.abort(new Error("the reader disconnected")));
      const content = await blobs.get(artifact.blob, { signal: gone.signal });
      if (!content) throw notFound(`artifact ${artifactId} of job ${id}`);
      // The bytes come from the job. Never let a browser show them as a page of this origin.
      return (reply as FastifyReply)
        .headers({
          "content-type": "application/octet-stream",
          "content-length": content.totalBytes,
          "content-disposition": `attachment; filename="job-${id}-attempt-${attempt}-${name}"`,
          etag: `"${sha256}"`,
        })
        .send(content.stream);
    },
  );

  app.get(
    "/jobs/:id/artifacts/:artifactId/files",
    {
      schema: {
        tags,
        summary: "List what is in an archive: zip, tar or tar.gz",
        params: z.strictObject({ id: Id, artifactId: Id }),
        response: { 200: ArchiveListing, ...errorAnswers },
      },
    },
    async (request, reply) => {
      const { id, artifactId } = request.params;
      await requireJob(request, id);
      const artifact = await findArtifact(db, id, artifactId);
      if (!artifact) throw notFound(`artifact ${artifactId} of job ${id}`);
      const gone = new AbortController();
      reply.raw.once("close", () => gone.abort(new Error("the reader disconnected")));
      // Unpacking takes processor time, which other requests need.
      using _slot = await listings.take(accessOf(request).actor.kind, gone.signal);
      const listing = await listArchive(blobs, artifact.blob, { signal: gone.signal });
      if (!listing) throw notFound(`artifact ${artifactId} of job ${id}`);
      return listing;
    },
  );
}
