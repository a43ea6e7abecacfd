import { randomUUID } from "node:crypto";
import { PlainText } from "@airlock/api";
import { AirlockError, formatBytes } from "@airlock/job";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { type Kysely, sql } from "kysely";
import { z } from "zod";
import type { JobActor } from "../../access/actor.ts";
import { type NewBlob, storeBlob } from "../../artifacts/store-blob.ts";
import type { Schema } from "../../store/schema.ts";
import { announcedBytes, detachBody } from "../shared/detach-body.ts";
import type { InstanceContext } from "../shared/instance-context.ts";
import { leaveBodies } from "../shared/read-bodies.ts";
import { accessOf } from "../shared/route-access.ts";
import { ExecutorApiError } from "./authenticate-executor.ts";
import { parseBody } from "./parse-body.ts";

/** Clients send parts of 100 MB by default. */
const maxPartBytes = 1024 ** 3;
const maxParts = 1000;
/** Unfinished uploads of one repository. A client works on one at a time. */
const maxUnfinished = 200;
const uploadTimeoutMs = 30 * 60_000;
/** A job indexes one commit. It may have several roots and try again. */
const maxUploadsOfAttempt = 100;

const Count = z.coerce.number().int();
const Description = z.object({
  repository: PlainText.min(1).max(1000),
  commit: z
    .string()
    .regex(/^(?:[a-z0-9]{40}|[a-z0-9]{64})$/, "not a full commit: 40 digits, or 64 of a SHA-256 repository"),
  root: PlainText.max(4096).default(""),
  indexerName: PlainText.max(1000).default(""),
  indexerVersion: PlainText.max(1000).default(""),
  associatedIndexId: z.coerce.number().int().nonnegative().optional(),
});
const UploadId = Count.positive().max(Number.MAX_SAFE_INTEGER);
const Start = Description.extend({ numParts: Count.min(1).max(maxParts) });
const Part = z.object({ uploadId: UploadId, index: Count.min(0).max(maxParts - 1) });
const Finish = z.object({ uploadId: UploadId });
const UncompressedSize = z.coerce.number().int().nonnegative().optional().catch(undefined);

/**
 * Receives code indexes, whole or in parts. The blob store keeps the parts as they were sent, at
 * `uploads/ID/INDEX/…`.
 * Accepts commits that the repository doesn't have: the index may arrive before the mirror is updated. A job's token is
 * good for the job's own repository and commit, while its attempt runs, and only for uploads that it created. Its
 * uploads together are limited like the artifacts of an attempt.
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
        const description = parseBody(Description, query);
        const id = await create(request, description, 1);
        try {
          await store(request, { id, repository: description.repository, index: 0 });
        } catch (error) {
          await db.deleteFrom("code_intel_uploads").where("id", "=", id).execute();
          throw error;
        }
        await db
          .updateTable("code_intel_uploads")
          .set({ state: "uploaded", finished_at: new Date() })
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
    const access = accessOf(request);
    access.require({ repository: upload.repository, commit: upload.commit });
    const uploader = access.actor;
    if (uploader.kind === "job") await limitUploads(uploader);
    try {
      await context.repositories.get(upload.repository);
    } catch (error) {
      if (error instanceof AirlockError && error.code === "unknown-repository") {
        throw new ExecutorApiError(404, error.message);
      }
      throw error;
    }
    if (uploader.kind !== "job") await limitUnfinished(upload.repository);
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
        job: uploader.kind === "job" ? uploader.job : null,
        attempt: uploader.kind === "job" ? uploader.attempt : null,
      })
      .returning("id")
      .executeTakeFirstOrThrow();
    return id;
  }

  /** Uploads of jobs have their own limit and don't count: a hostile job could otherwise keep all others out. */
  async function limitUnfinished(repository: string): Promise<void> {
    const { unfinished } = await db
      .selectFrom("code_intel_uploads")
      .select((select) => select.fn.countAll<number>().as("unfinished"))
      .where("state", "=", "uploading")
      .where("repository", "=", repository)
      .where("job", "is", null)
      .executeTakeFirstOrThrow();
    if (unfinished >= maxUnfinished) {
      throw new ExecutorApiError(
        429,
        `repository "${repository}" has ${unfinished} unfinished uploads: finish them, or wait a day until they are removed`,
      );
    }
  }

  async function storePart(request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    const { uploadId, index } = parseBody(Part, request.query);
    const upload = await find(request, uploadId);
    if (upload.state !== "uploading") throw new ExecutorApiError(400, "the upload is finished");
    if (index >= upload.num_parts) throw new ExecutorApiError(400, `part ${index} is outside of the upload`);
    await store(request, { id: uploadId, repository: upload.repository, index });
    return reply.status(204).send();
  }

  async function finish(request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    const { uploadId } = parseBody(Finish, request.query);
    const upload = await find(request, uploadId);
    const { parts } = await db
      .selectFrom("code_intel_upload_parts")
      .select((select) => select.fn.countAll<number>().as("parts"))
      .where("upload", "=", uploadId)
      .executeTakeFirstOrThrow();
    if (parts < upload.num_parts) throw new ExecutorApiError(400, `${upload.num_parts - parts} parts are missing`);
    await db
      .updateTable("code_intel_uploads")
      .set({ state: "uploaded", finished_at: new Date() })
      .where("id", "=", uploadId)
      .where("state", "=", "uploading")
      .execute();
    return accepted(reply, uploadId);
  }

  async function limitUploads(uploader: JobActor): Promise<void> {
    const { count } = await db
      .selectFrom("code_intel_uploads")
      .select((select) => select.fn.countAll<number>().as("count"))
      .where("job", "=", uploader.job)
      .where("attempt", "=", uploader.attempt)
      .executeTakeFirstOrThrow();
    if (Number(count) >= maxUploadsOfAttempt) {
      throw new ExecutorApiError(403, `an attempt sends at most ${maxUploadsOfAttempt} indexes`);
    }
  }

  async function find(request: FastifyRequest, id: number) {
    const upload = await db.selectFrom("code_intel_uploads").selectAll().where("id", "=", id).executeTakeFirst();
    // Job 0 does not exist: users and executors uploaded it. Whether the upload of another job exists is not told.
    const creator = { job: upload?.job ?? 0, attempt: upload?.attempt ?? 0 };
    if (!upload || !accessOf(request).permits(creator)) throw new ExecutorApiError(404, `upload ${id} not found`);
    return upload;
  }

  /** Stores a part and replaces an earlier one of its index. */
  async function store(
    request: FastifyRequest,
    { id, repository, index }: { readonly id: number; readonly repository: string; readonly index: number },
  ): Promise<void> {
    const signal = AbortSignal.any([context.stopping, AbortSignal.timeout(uploadTimeoutMs)]);
    const uploader = accessOf(request).actor;
    const room = uploader.kind === "job" ? await roomOf(uploader, { upload: id, part: index }) : maxPartBytes;
    const tooLarge = new ExecutorApiError(
      413,
      room < maxPartBytes
        ? `the indexes of an attempt are limited to ${formatBytes(context.config.maxArtifactBytes)} (AIRLOCK_MAX_ARTIFACT_SIZE)`
        : "the part is too large",
    );
    if (room <= 0 || (announcedBytes(request) ?? 0) > room) throw tooLarge;
    const blob: NewBlob = {
      key: `uploads/${id}/${index}/${randomUUID()}`,
      owner: { kind: "uploads", owner: repository, quota: context.config.storageQuotas.uploads },
      body: detachBody(request),
      announcedBytes: announcedBytes(request),
      maxBytes: Math.min(maxPartBytes, room),
    };
    try {
      const stored = await storeBlob({ db, blobs }, blob, signal, async (transaction, { bytes }) => {
        if (uploader.kind === "job" && !(await isRunning(transaction, uploader))) return false;
        const upload = await transaction
          .selectFrom("code_intel_uploads")
          .select("id")
          .where("id", "=", id)
          .where("state", "=", "uploading")
          .forUpdate()
          .executeTakeFirst();
        if (!upload) return false;
        const part = { upload: id, part: index };
        await transaction
          .deleteFrom("code_intel_upload_parts")
          .where("upload", "=", id)
          .where("part", "=", index)
          .execute();
        await transaction
          .insertInto("code_intel_upload_parts")
          .values({ ...part, bytes, blob: blob.key })
          .execute();
        return true;
      });
      // The upload took so long that it was deleted or the attempt ended, or another request has finished it.
      if (!stored) throw new ExecutorApiError(404, `no unfinished upload ${id}`);
    } catch (error) {
      if (error instanceof AirlockError && error.code === "blob-too-large") throw tooLarge;
      if (error instanceof AirlockError && error.code === "quota-exceeded") {
        throw new ExecutorApiError(413, `${error.message}. ${error.hint}`);
      }
      throw error;
    }
  }

  /** What the attempt may still send for this part. Parts that arrive at the same time may exceed it together. */
  async function roomOf(
    { job, attempt }: JobActor,
    replaced: { readonly upload: number; readonly part: number },
  ): Promise<number> {
    const { bytes } = await db
      .selectFrom("code_intel_upload_parts as parts")
      .innerJoin("code_intel_uploads as uploads", "uploads.id", "parts.upload")
      .select(sql<number>`coalesce(sum(parts.bytes), 0)::float8`.as("bytes"))
      .where("uploads.job", "=", job)
      .where("uploads.attempt", "=", attempt)
      .where((where) =>
        where.not(where.and([where("upload", "=", replaced.upload), where("part", "=", replaced.part)])),
      )
      .executeTakeFirstOrThrow();
    return context.config.maxArtifactBytes - bytes;
  }
}

/** Whether the attempt still runs. Keeps it from ending before the transaction commits. */
async function isRunning(transaction: Kysely<Schema>, { job, attempt }: JobActor): Promise<boolean> {
  const row = await transaction
    .selectFrom("attempts")
    .select("attempt")
    .where("job", "=", job)
    .where("attempt", "=", attempt)
    .where("state", "=", "processing")
    .forUpdate()
    .executeTakeFirst();
  return row !== undefined;
}

function accepted(reply: FastifyReply, id: number): FastifyReply {
  return reply.status(202).send({ id: String(id) });
}

/** Adds a trailing slash; the repository's root becomes empty. */
function directory(root: string): string {
  const bare = root.replace(/^\/+|\/+$/g, "");
  return bare === "" ? "" : `${bare}/`;
}
