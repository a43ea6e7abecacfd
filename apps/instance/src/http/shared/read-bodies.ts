import { Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { formatBytes } from "@airlock/job";
import type { FastifyInstance, FastifyRequest } from "fastify";
import { BodyError, bodyDecoder } from "./content-encoding.ts";
import { detachBody } from "./detach-body.ts";

declare module "fastify" {
  interface FastifyContextConfig {
    /** The route reads its body with `detachBody`, which decodes it. */
    detachesBody?: boolean;
  }
}

/** For scopes whose routes read their bodies with `detachBody`: Fastify leaves them alone. */
export function leaveBodies(app: FastifyInstance): void {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser("*", (_request, payload, done) => done(null, payload));
  app.addHook("onRoute", (route) => {
    route.config = { ...route.config, detachesBody: true };
  });
}

/**
 * Decodes bodies with a `Content-Encoding` before Fastify parses them. The route's limit also holds for the decoded
 * size, so that a small body can't expand without end (zip bomb).
 */
export function decodeBodies(app: FastifyInstance): void {
  app.addHook("preParsing", async (request, _reply, payload) => {
    const { raw } = request;
    const hasBody = raw.headers["transfer-encoding"] !== undefined || Number(raw.headers["content-length"] ?? 0) > 0;
    if (!hasBody || request.routeOptions.config.detachesBody || !bodyDecoder(raw)) return payload;
    return decodedBody(request);
  });
}

function decodedBody(request: FastifyRequest): Transform & { readonly receivedEncodedLength: number } {
  const limit = request.routeOptions.bodyLimit ?? 0;
  const body = detachBody(request);
  let encodedBytes = 0;
  let decodedBytes = 0;
  request.raw.on("data", (chunk: Buffer) => {
    encodedBytes += chunk.length;
  });
  const limited = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      decodedBytes += chunk.length;
      if (decodedBytes <= limit) done(null, chunk);
      else done(new BodyError(413, `the body holds more than ${formatBytes(limit)} when it is decompressed`));
    },
  });
  pipeline(body, limited).catch(() => {
    // Fastify gets the error from `limited`.
  });
  // Fastify compares this with the content length.
  return Object.defineProperty(
    limited as Transform & { readonly receivedEncodedLength: number },
    "receivedEncodedLength",
    {
      get: () => encodedBytes,
    },
  );
}
