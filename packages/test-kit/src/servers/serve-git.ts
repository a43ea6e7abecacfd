import { spawn } from "node:child_process";
import type { IncomingMessage, ServerResponse } from "node:http";
import { buffer } from "node:stream/consumers";

/** Lets clients fetch any commit and filter objects, as instances do. */
const configuration = [
  ["uploadpack.allowAnySHA1InWant", "true"],
  ["uploadpack.allowFilter", "true"],
  ["safe.directory", "*"],
];

/**
 * Serves the bare repositories of a directory over git's smart HTTP protocol, by `git http-backend`.
 * @param mount Path of the URL below which the repositories are, e.g. `/.executors/git`.
 */
export async function serveGit(
  request: IncomingMessage,
  response: ServerResponse,
  { mount, repositoriesDir }: { readonly mount: string; readonly repositoriesDir: string },
): Promise<void> {
  const url = new URL(request.url ?? "/", "http://localhost");
  const backend = spawn("git", ["http-backend"], {
    env: {
      PATH: process.env.PATH ?? "",
      GIT_PROJECT_ROOT: repositoriesDir,
      GIT_HTTP_EXPORT_ALL: "1",
      GIT_CONFIG_COUNT: String(configuration.length),
      ...Object.fromEntries(
        configuration.flatMap(([key, value], index) => [
          [`GIT_CONFIG_KEY_${index}`, key],
          [`GIT_CONFIG_VALUE_${index}`, value],
        ]),
      ),
      PATH_INFO: decodeURIComponent(url.pathname.slice(mount.length)),
      QUERY_STRING: url.search.slice(1),
      REQUEST_METHOD: request.method ?? "GET",
      CONTENT_TYPE: request.headers["content-type"] ?? "",
      HTTP_CONTENT_ENCODING: String(request.headers["content-encoding"] ?? ""),
      GIT_PROTOCOL: String(request.headers["git-protocol"] ?? ""),
      REMOTE_USER: "executor",
      REMOTE_ADDR: "127.0.0.1",
    },
  });
  request.pipe(backend.stdin);
  const output = await buffer(backend.stdout);
  const end = output.indexOf("\r\n\r\n");
  const lines = output.subarray(0, Math.max(0, end)).toString().split("\r\n");
  const headers = Object.fromEntries(
    lines.map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 1).trim()]),
  );
  response.writeHead(Number.parseInt(headers.Status ?? "200", 10), headers);
  response.end(output.subarray(end + 4));
}
