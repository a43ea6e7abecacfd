// Serves the files of a directory over HTTP: static-server-main.ts DIRECTORY ADDRESS PORT. Exits when stdin ends.
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { createServer, type ServerResponse } from "node:http";
import { join, normalize } from "node:path";
import { pipeline } from "node:stream/promises";

const [, , directory = "", address = "", port = ""] = process.argv;

async function serve(url: string, response: ServerResponse): Promise<void> {
  const wanted = join(directory, normalize(decodeURIComponent(new URL(url, "http://localhost").pathname)));
  const found = await sizeOf(wanted);
  if (!found) {
    response.writeHead(404).end();
    return;
  }
  const type = found.path.endsWith(".html") ? "text/html" : "application/octet-stream";
  response.writeHead(200, { "content-type": type, "content-length": found.size });
  await pipeline(createReadStream(found.path), response);
}

/** Finds the file to serve and its size. For a directory that is its `index.html` or `index.json`. */
async function sizeOf(path: string): Promise<{ readonly path: string; readonly size: number } | undefined> {
  for (const candidate of [path, join(path, "index.html"), join(path, "index.json")]) {
    const stats = await stat(candidate).catch(() => undefined);
    if (stats?.isFile()) return { path: candidate, size: stats.size };
  }
  return undefined;
}

const server = createServer((request, response) => {
  serve(request.url ?? "/", response).catch(() => response.destroy());
});
server.listen(Number(port), address, () => console.log("ready"));
process.stdin.resume().on("end", () => process.exit(0));
