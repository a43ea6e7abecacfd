import { AirlockError } from "@airlock/job";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { sql } from "kysely";
import { z } from "zod";
import { detachBody } from "../shared/detach-body.ts";
import type { InstanceContext } from "../shared/instance-context.ts";
import { leaveBodies } from "../shared/read-bodies.ts";
import { ExecutorApiError } from "./authenticate-executor.ts";
import { parseBody } from "./parse-body.ts";

/** Clients send parts of 100 MB by default. */
const maxPartBytes = 1024 ** 3;
const maxParts = 1000;
const uploadTimeoutMs = 30 * 60_000;

const Count = z.coerce.number().int();
const Description = z.object({
  repository: z.string().min(1).max(1000),
  commit: z.string().regex(/^[a-z0-9]{40}$/, "not a full commit"),
  root: z.string().max(4096).default(""),
  indexerName: z.string().max(1000).default(""),
  indexerVersion: z.string().max(1000).default(""),
  associatedIndexId: z.coerce.number().int().nonnegative().optional(),
});
const UploadId = Count.positive().max(Number.MAX_SAFE_INTEGER);
const Start = Description.extend({ numParts: Count.min(1).max(maxParts) });
const Part = z.object({ uploadId: UploadId, index: Count.min(0).max(maxParts - 1) });
const Finish = z.object({ uploadId: UploadId });
const UncompressedSize = z.coerce.number().int().nonnegative().optional().catch(undefined);

/**
 * Receives code indexes, whole or in parts. The blob store keeps the parts as they were sent, at `uploads/ID/INDEX`.
 * Accepts commits that the repository doesn't have: the index may arrive before the mirror is updated.
 */
export function uploadRoutes(app: FastifyInstance, context: InstanceContext): void {
  const { db, blobs } = context;
  leaveBodies(app);

  // Clients ask whether this instance supports such uploads.
  for (const path of ["/lsif/upload", "/scip/upload"]) {
    app.head(path, async (_request, reply) => reply.status(200).send());
  }

  for (const path of ["/lsif/upload", "/scip/upload"]) {
    app.post<{ Querystring: Record<string, string> }>(
      path,
      { bodyLimit: maxPartBytes, config: { streamsBody: true } },
      async (request, reply) => {
        const { query } = request;
        if (query.uploadId !== undefined) {
          return query.done === "true" ? finish(request, reply) : storePart(request, reply);
        }
        if (query.multiPart === "true") {
          const start = parseBody(Start, query);
          return accepted(reply, await create(request, start, start.numParts));
        }
        const id = await create(request, parseBody(Description, query), 1);
        await store(request, id, 0);
        await db
          .updateTable("code_intel_uploads")
          .set({ state: "uploaded", finished_at: new Date(), uploaded_parts: [0] })
          .where("id", "=", id)
          .execute();
        return accepted(reply, id);
      },
    );
  }

  async function create(
    request: FastifyRequest,
    upload: z.output<typeof Description>,
    numParts: number,
  ): Promise<number> {
    try {
      await context.repositories.get(upload.repository);
    } catch (error) {
      if (error instanceof AirlockError && error.code === "unknown-repository") {
        throw new ExecutorApiError(404, error.message);
      }
      throw error;
    }
    const { id } = await db
      .insertInto("code_intel_uploads")
      .values({
        repository: upload.repository,
        commit: upload.commit,
        root: directory(upload.root),
        indexer_name: upload.indexerName,
        indexer_version: upload.indexerVersion,
        associated_index_id: upload.associatedIndexId ?? null,
        content_type: (request.headers["content-type"] ?? "application/x-ndjson+lsif").slice(0, 200),
        uncompressed_bytes: UncompressedSize.parse(request.headers["x-uncompressed-size"]) ?? null,
        num_parts: numParts,
        finished_at: null,
      })
      .returning("id")
      .executeTakeFirstOrThrow();
    return id;
  }

  async function storePart(request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    const { uploadId, index } = parseBody(Part, request.query);
    const upload = await find(uploadId);
    if (upload.state !== "uploading") throw new ExecutorApiError(400, "the upload is finished");
    if (index >= upload.num_parts) throw new ExecutorApiError(400, `part ${index} is outside of the upload`);
    await store(request, uploadId, index);
    const { rows } = await sql`
      update code_intel_uploads
      set uploaded_parts = array_remove(uploaded_parts, ${index}::integer) || ${index}::integer
      where id = ${uploadId} returning id`.execute(db);
    if (rows.length === 0) {
      // The upload took so long that it was deleted.
      await blobs.delete(`uploads/${uploadId}/${index}`, { signal: context.stopping });
      throw new ExecutorApiError(404, `there is no upload ${uploadId}`);
    }
    return reply.status(204).send();
  }

  async function finish(request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    const { uploadId } = parseBody(Finish, request.query);
    const upload = await find(uploadId);
    if (upload.uploaded_parts.length < upload.num_parts) {
      throw new ExecutorApiError(400, `${upload.num_parts - upload.uploaded_parts.length} parts are missing`);
    }
    await db
      .updateTable("code_intel_uploads")
      .set({ state: "uploaded", finished_at: new Date() })
      .where("id", "=", uploadId)
      .where("state", "=", "uploading")
      .execute();
    return accepted(reply, uploadId);
  }

  async function find(id: number) {
    const upload = await db.selectFrom("code_intel_uploads").selectAll().where("id", "=", id).executeTakeFirst();
    if (!upload) throw new ExecutorApiError(404, `there is no upload ${id}`);
    return upload;
  }

  async function store(request: FastifyRequest, id: number, index: number): Promise<void> {
    const signal = AbortSignal.any([context.stopping, AbortSignal.timeout(uploadTimeoutMs)]);
    try {
      await blobs.put(`uploads/${id}/${index}`, detachBody(request), { signal, maxBytes: maxPartBytes });
    } catch (error) {
      if (error instanceof AirlockError && error.code === "blob-too-large") {
        throw new ExecutorApiError(413, "the part is too large");
      }
      throw error;
    }
  }
}

function accepted(reply: FastifyReply, id: number): FastifyReply {
  return reply.status(202).send({ id: String(id) });
}

/** Adds a trailing slash; the repository's root becomes empty. */
function directory(root: string): string {
  const bare = root.replace(/^\/+|\/+$/g, "");
  return bare === "" ? "" : `${bare}/`;
}
