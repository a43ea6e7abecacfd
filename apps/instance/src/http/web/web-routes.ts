import { existsSync, globSync } from "node:fs";
import path from "node:path";
import fastifyStatic from "@fastify/static";
import type { FastifyInstance } from "fastify";
import { noSuchRoute } from "../shared/no-such-route.ts";

/** Forbids foreign content and inline scripts. The component library needs inline styles for colors and sizes. */
const contentSecurityPolicy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self' 'unsafe-inline'",
  "img-src 'self' data: blob:",
  "font-src 'self' data:",
  "connect-src 'self'",
  "manifest-src 'self'",
  "base-uri 'none'",
  "form-action 'self'",
  "frame-ancestors 'none'",
].join("; ");

/** Has the pages of the documentation site, which need neither sign-in nor the web UI's program. */
const helpDirectory = "help-pages";

const notBuilt = `<!doctype html><meta charset="utf-8"><title>Airlock</title>
<h1>Airlock</h1><p>The web UI is not built. Build it with <code>npm run build</code>, or use <code>/api/v1</code>.</p>`;

/** Serves the web UI: its built files, and its page for every other path, because routing happens in the browser. */
export async function webRoutes(app: FastifyInstance, webDirectory: string): Promise<void> {
  const built = existsSync(path.join(webDirectory, "index.html"));
  const helpPages = new Set(globSync("**/*.html", { cwd: path.join(webDirectory, helpDirectory) }));
  app.addHook("onRequest", async (request, reply) => {
    // Programs ask for routes that there are not: a page would look like a success to them.
    if (/^\/(?:\.?api|\.executors)(?:[/?]|$)/.test(request.url)) return reply.status(404).send(noSuchRoute);
    reply.headers({
      "content-security-policy": contentSecurityPolicy,
      "cross-origin-opener-policy": "same-origin",
    });
  });
  await app.register(fastifyStatic, {
    root: built ? webDirectory : import.meta.dirname,
    serve: built,
    wildcard: true,
    index: false,
    dotfiles: "deny",
    cacheControl: false,
    setHeaders: (reply, file) => {
      // Assets have a content hash in their names, so they may be cached forever. The page names the assets, so it may
      // not.
      const asset = file.includes(`${path.sep}assets${path.sep}`);
      reply.header("cache-control", asset ? "public, max-age=31536000, immutable" : "no-cache");
    },
  });
  // The file server would answer a directory with 403.
  if (built) app.get("/", (_request, reply) => reply.sendFile("index.html"));
  app.setNotFoundHandler((request, reply) => {
    if (request.method !== "GET" && request.method !== "HEAD") {
      return reply.status(404).type("text/plain; charset=utf-8").send("no such route");
    }
    if (!built) return reply.status(200).type("text/html; charset=utf-8").send(notBuilt);
    // Report a missing asset as an error. With the page, a browser would try to run HTML as a script.
    if (request.url.startsWith("/assets/")) return reply.status(404).type("text/plain").send("file not found");
    const help = /^\/help(?:\/([^?]*))?(?:\?.*)?$/.exec(request.url);
    if (help && helpPages.size > 0) {
      const page = `${help[1] || "index"}.html`;
      if (!helpPages.has(page)) return reply.status(404).sendFile(`${helpDirectory}/404.html`);
      return reply.sendFile(`${helpDirectory}/${page}`);
    }
    return reply.sendFile("index.html");
  });
}
