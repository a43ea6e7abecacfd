import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { FixtureImage } from "@airlock/test-kit";

export type Answer = (request: IncomingMessage, response: ServerResponse) => void;

/** Starts a registry that answers with `answer` and records each request with its Authorization header. */
export async function openRegistry(answer: Answer, host = "127.0.0.1") {
  const asked: string[] = [];
  const server = createServer((request, response) => {
    asked.push(`${request.method} ${request.url} ${request.headers.authorization ?? ""}`.trim());
    answer(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, host, resolve));
  const { port } = server.address() as AddressInfo;
  return {
    address: `${host}:${port}`,
    asked,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** Serves an image, except for requests that `before` answers itself. */
export function serving(
  image: FixtureImage,
  before: (path: string, response: ServerResponse) => boolean = () => false,
): Answer {
  return ({ url = "" }, response) => {
    if (before(url, response)) return;
    if (url.includes("/manifests/")) {
      response.writeHead(200, { "content-type": image.manifest.mediaType }).end(image.manifest.bytes);
      return;
    }
    const blob = [image.config, ...image.layers].find(({ digest }) => url.endsWith(digest));
    response.writeHead(blob ? 200 : 404).end(blob?.bytes);
  };
}
