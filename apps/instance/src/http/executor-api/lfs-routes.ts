import { pipeline } from "node:stream/promises";
import { readAtMost } from "@airlock/async";
import { AirlockError, type ErrorCode, httpStatusOfCode } from "@airlock/job";
import type { FastifyReply, FastifyRequest } from "fastify";
import { z } from "zod";
import type { LfsObject, LfsUpstream } from "../../repositories/lfs-upstream.ts";
import { detachBody } from "../shared/detach-body.ts";
import type { InstanceContext } from "../shared/instance-context.ts";
import { ExecutorApiError } from "./authenticate-executor.ts";

const Oid = z.string().regex(/^[0-9a-f]{64}$/);
const Size = z.coerce.number().int().min(0).max(Number.MAX_SAFE_INTEGER);
const Batch = z.object({
  operation: z.string(),
  transfers: z.array(z.string()).nullish(),
  hash_algo: z.string().nullish(),
  objects: z.array(z.object({ oid: Oid, size: Size })).max(1000),
});
const ObjectQuery = z.object({ size: Size });

const mediaType = "application/vnd.git-lfs+json";
const maximumRequestBytes = 1024 * 1024;

/**
 * Serves Git LFS objects of a repository, read-only. Both routes ask the code host that the repository is mirrored
 * from. Objects are limited to the maximum size of a mirror and are not stored. The caller has checked the credentials.
 */
export class LfsRoutes {
  readonly #context: InstanceContext;

  constructor(context: InstanceContext) {
    this.#context = context;
  }

  /** `POST …/info/lfs/objects/batch` */
  async list(request: FastifyRequest, reply: FastifyReply, repository: string): Promise<unknown> {
    const body = await readBody(request);
    const batch = Batch.safeParse(body);
    if (!batch.success) throw new ExecutorApiError(422, "not a list of Git LFS objects");
    const { operation, transfers, hash_algo: algorithm, objects } = batch.data;
    if (operation !== "download") throw new ExecutorApiError(403, "repositories are read-only");
    if ((algorithm ?? "sha256") !== "sha256")
      throw new ExecutorApiError(409, "only the hash algorithm sha256 is supported");
    if (transfers && transfers.length > 0 && !transfers.includes("basic")) {
      throw new ExecutorApiError(422, "only the transfer adapter basic is supported");
    }
    const upstream = await this.#upstream(repository);
    const listed = await saying(() => upstream.list(objects, this.#signal(reply)));
    const base = `${addressOf(request)}/.executors/git/${repository.split("/").map(encodeURIComponent).join("/")}`;
    return reply.type(mediaType).send(
      JSON.stringify({
        transfer: "basic",
        hash_algo: "sha256",
        objects: listed.map(({ oid, size, error }) => {
          if (error) return { oid, size, error };
          return { oid, size, actions: { download: { href: `${base}/info/lfs/objects/${oid}?size=${size}` } } };
        }),
      }),
    );
  }

  /** `GET …/info/lfs/objects/<oid>?size=<bytes>` */
  async give(request: FastifyRequest, reply: FastifyReply, repository: string, oid: string): Promise<FastifyReply> {
    const query = ObjectQuery.safeParse(request.query);
    if (!query.success) throw new ExecutorApiError(400, "the object's size is missing");
    const object: LfsObject = { oid: Oid.parse(oid), size: query.data.size };
    if (object.size > this.#context.config.mirrorLimits.maxBytes) {
      throw new ExecutorApiError(413, "the object is larger than this instance forwards");
    }
    const signal = this.#signal(reply);
    const upstream = await this.#upstream(repository);
    const content = await saying(() => upstream.open(object, signal));
    const exact = async function* (source: AsyncIterable<Buffer>) {
      let bytes = 0;
      for await (const part of source) {
        bytes += part.length;
        if (bytes > object.size) throw new Error("the object is larger than its pointer says");
        yield part;
      }
      if (bytes < object.size) throw new Error("the object is smaller than its pointer says");
    };
    reply.hijack();
    reply.raw.on("error", () => {}); // The client disconnected: the pipeline below ends, too.
    reply.raw.writeHead(200, { "content-type": "application/octet-stream", "content-length": object.size });
    try {
      await pipeline(content, exact, reply.raw, { signal });
    } catch (error) {
      // Part of the response is sent. Closing the connection tells the client that it is incomplete.
      reply.raw.destroy();
      if (!signal.aborted) request.log.warn({ err: error, oid }, "forwarding a Git LFS object failed");
    }
    return reply;
  }

  async #upstream(repository: string): Promise<LfsUpstream> {
    return await saying(() => this.#context.repositories.lfsUpstream(repository));
  }

  #signal(reply: FastifyReply): AbortSignal {
    const gone = new AbortController();
    reply.raw.once("close", () => gone.abort(new Error("the client disconnected")));
    return AbortSignal.any([gone.signal, this.#context.stopping]);
  }
}

/** The address at which the client reached the instance, built only from what the client sent. */
function addressOf(request: FastifyRequest): string {
  const forwarded = request.headers["x-forwarded-proto"];
  return `${forwarded === "https" ? "https" : request.protocol}://${request.headers.host ?? "localhost"}`;
}

async function readBody(request: FastifyRequest): Promise<unknown> {
  const tooLarge = () => new ExecutorApiError(413, "the request is too large");
  const text = (await readAtMost(detachBody(request), maximumRequestBytes, tooLarge)).toString();
  try {
    return JSON.parse(text);
  } catch {
    throw new ExecutorApiError(400, "the request is not JSON");
  }
}

const lfsCodes: ReadonlySet<ErrorCode> = new Set<ErrorCode>(["no-lfs", "lfs-not-found", "lfs-unavailable"]);

/** Answers the failures of the code host's Git LFS server with the status of their code. */
async function saying<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof AirlockError)) throw error;
    if (!lfsCodes.has(error.code)) throw error;
    throw new ExecutorApiError(httpStatusOfCode(error.code), error.message);
  }
}
