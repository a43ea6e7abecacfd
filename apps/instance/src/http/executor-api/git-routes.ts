import { pipeline } from "node:stream/promises";
import { RepositoryName } from "@airlock/api";
import { limitBytes, onAbort } from "@airlock/async";
import { AirlockError, errorMessage } from "@airlock/job";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { startGit } from "../../repositories/git.ts";
import { bodyDecoder } from "../shared/content-encoding.ts";
import { detachBody } from "../shared/detach-body.ts";
import { FairSlots } from "../shared/fair-slots.ts";
import type { InstanceContext } from "../shared/instance-context.ts";
import { leaveBodies } from "../shared/read-bodies.ts";
import { accessOf } from "../shared/route-access.ts";
import { ExecutorApiError } from "./authenticate-executor.ts";
import { JobScope } from "./job-scope.ts";
import { LfsRoutes } from "./lfs-routes.ts";

/** git clients send a list of commits that they want and have, which is short. */
const requestBodyLimit = 16 * 1024 * 1024;
const uploadPackTimeoutMs = 30 * 60_000;
/** Stall timeout: the client neither reads nor sends. git itself sends something every few seconds. */
const stalledMs = 2 * 60_000;
const maxConcurrent = 32;
/** A job's executor fetches one repository, its submodules, and objects that a partial clone lacks. */
const maxConcurrentOfJob = 8;
const uploadPackMemoryBytes = 2 * 1024 ** 3;

/** Serves `git fetch` and Git LFS downloads to executors: the repository of the running job, read-only. */
export function gitRoutes(app: FastifyInstance, context: InstanceContext): void {
  new JobScope(app, context);
  const slots = new FairSlots({ total: maxConcurrent, perHolder: maxConcurrentOfJob });
  const lfs = new LfsRoutes(context);
  // The body streams into git.
  leaveBodies(app);

  app.get<{ Params: { "*": string }; Querystring: { service?: string } }>("/git/*", async (request, reply) => {
    const [, lfsName, oid] = /^(.+)\/info\/lfs\/objects\/([0-9a-f]{64})$/.exec(request.params["*"]) ?? [];
    if (lfsName && oid) {
      permit(request, lfsName);
      return await lfs.give(request, reply, lfsName, oid);
    }
    const name = /^(.+)\/info\/refs$/.exec(request.params["*"])?.[1];
    if (!name) throw new ExecutorApiError(404, "no such route");
    const commit = permit(request, name);
    if (request.query.service === undefined)
      throw new ExecutorApiError(403, "only git's smart HTTP protocol is supported");
    if (request.query.service !== "git-upload-pack") throw new ExecutorApiError(403, "repositories are read-only");
    const directory = await directoryOf(name, commit);
    const version2 = gitProtocol(request) === "version=2";
    await uploadPack(request, reply, {
      directory,
      args: ["--advertise-refs"],
      contentType: "application/x-git-upload-pack-advertisement",
      head: version2 ? "" : "001e# service=git-upload-pack\n0000",
    });
    return reply;
  });

  app.post<{ Params: { "*": string } }>("/git/*", { bodyLimit: requestBodyLimit }, async (request, reply) => {
    const lfsName = /^(.+)\/info\/lfs\/objects\/batch$/.exec(request.params["*"])?.[1];
    if (lfsName) {
      permit(request, lfsName);
      return await lfs.list(request, reply, lfsName);
    }
    const name = /^(.+)\/git-upload-pack$/.exec(request.params["*"])?.[1];
    if (!name) throw new ExecutorApiError(404, "no such route");
    const commit = permit(request, name);
    // Reject an unknown encoding now: once the response has begun, its status can't change.
    bodyDecoder(request.raw);
    const directory = await directoryOf(name, commit);
    await uploadPack(request, reply, {
      directory,
      args: [],
      contentType: "application/x-git-upload-pack-result",
      head: "",
    });
    return reply;
  });

  /** The commit that the credentials are limited to; `null`: any. */
  function permit(request: FastifyRequest, name: string): string | null {
    const access = accessOf(request);
    access.require({ repository: name });
    return access.actor.kind === "job" ? access.actor.commit : null;
  }

  async function directoryOf(name: string, commit: string | null): Promise<string> {
    // With the shared secret, the name may be any text.
    if (!RepositoryName.safeParse(name).success) throw new ExecutorApiError(404, "not a repository name");
    try {
      return await context.repositories.directoryWith(name, commit);
    } catch (error) {
      if (error instanceof AirlockError && error.code === "unknown-repository") {
        throw new ExecutorApiError(404, error.message);
      }
      throw error;
    }
  }

  async function uploadPack(
    request: FastifyRequest,
    reply: FastifyReply,
    options: {
      readonly directory: string;
      readonly args: readonly string[];
      readonly contentType: string;
      readonly head: string;
    },
  ): Promise<void> {
    const gone = new AbortController();
    reply.raw.once("close", () => gone.abort(new Error("the client disconnected")));
    const signal = AbortSignal.any([gone.signal, context.stopping, AbortSignal.timeout(uploadPackTimeoutMs)]);
    const { actor } = accessOf(request);
    using _slot = await slots.take(actor.kind === "job" ? `job ${actor.job}` : "", signal);
    reply.raw.setTimeout(stalledMs, () => gone.abort(new Error(`no data transferred for ${stalledMs} ms`)));
    const git = await startGit(context.repositories.environment, {
      gitDirectory: options.directory,
      args: ["upload-pack", "--strict", "--stateless-rpc", ...options.args, options.directory],
      config: {
        "uploadpack.allowAnySHA1InWant": "true",
        "uploadpack.allowFilter": "true",
        // Forbid filters by patterns from the repository itself: they can take arbitrarily long.
        "uploadpackfilter.sparse:oid.allow": "false",
        // The instance's internal refs. Their commits can still be fetched by SHA.
        "uploadpack.hideRefs": "refs/airlock",
        // Many may run at once, so limit the memory of each and send large files undeltified.
        "pack.threads": "1",
        "pack.windowMemory": "64m",
        "pack.deltaCacheSize": "32m",
        "core.bigFileThreshold": "16m",
      },
      env: gitProtocol(request) ? { GIT_PROTOCOL: gitProtocol(request) } : {},
      limits: { memoryBytes: uploadPackMemoryBytes },
    });
    const stop = () => {
      git.stop();
      // A client that doesn't read would block the end of the response, too.
      if (signal.aborted) reply.raw.destroy();
    };
    using _abort = onAbort(signal, stop);
    let stderr = "";
    git.stderr.on("data", (data: Buffer) => {
      stderr = (stderr + data.toString("utf8")).slice(-4096);
    });
    try {
      reply.hijack();
      reply.raw.on("error", () => {}); // The client disconnected: the pipeline below ends, too.
      reply.raw.writeHead(200, { "content-type": options.contentType, "cache-control": "no-cache" });
      reply.raw.write(options.head);
      await Promise.all([sendBody(request, git.stdin), pipeline(git.stdout, reply.raw)]);
    } catch (error) {
      if (!reply.sent) throw error;
      // Part of the response is sent. Closing the connection tells git that it is incomplete.
      reply.raw.destroy();
      if (!signal.aborted) request.log.warn({ err: error, stderr }, "upload-pack failed");
    } finally {
      stop();
    }
  }
}

async function sendBody(request: FastifyRequest, stdin: NodeJS.WritableStream): Promise<void> {
  if (request.method === "GET") {
    stdin.end();
    return;
  }
  // Counts decompressed bytes: a small body may decompress to a large one.
  const limited = (source: AsyncIterable<Buffer>) =>
    limitBytes(source, requestBodyLimit, () => new ExecutorApiError(413, "the request is too large"));
  try {
    await pipeline(detachBody(request), limited, stdin);
  } catch (error) {
    // git stops reading once it knows enough; that is not a failure.
    if (!/EPIPE|ERR_STREAM_PREMATURE_CLOSE/.test(`${(error as NodeJS.ErrnoException).code} ${errorMessage(error)}`)) {
      throw error;
    }
  }
}

/** Passes only known versions: the header becomes an environment variable of git. */
function gitProtocol(request: FastifyRequest): string {
  const header = request.headers["git-protocol"];
  return typeof header === "string" && /^version=[012]$/.test(header) ? header : "";
}
