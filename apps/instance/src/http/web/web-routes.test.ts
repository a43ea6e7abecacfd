import { mkdir, symlink, writeFile } from "node:fs/promises";
import path from "node:path";
import { type TemporaryDirectory, temporaryDirectory } from "@airlock/test-kit";
import Fastify, { type FastifyInstance } from "fastify";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { webRoutes } from "./web-routes.ts";

describe("the web UI's files", () => {
  let directory: TemporaryDirectory;
  let app: FastifyInstance;
  beforeAll(async () => {
    directory = await temporaryDirectory();
    const web = path.join(directory.path, "web");
    await mkdir(path.join(web, "assets"), { recursive: true });
    await writeFile(path.join(web, "index.html"), "<title>Airlock</title>");
    await writeFile(path.join(web, "assets", "main-1a2b.js"), "console.log(1)");
    await writeFile(path.join(directory.path, "secret"), "secret");
    await writeFile(path.join(web, ".env"), "secret");
    await symlink("../../secret", path.join(web, "assets", "link.js"));
    app = Fastify();
    await app.register((scope) => webRoutes(scope, web));
  });
  afterAll(async () => {
    await app?.close();
    await directory?.[Symbol.asyncDispose]();
  });

  it("are served so that browsers cache hashed files forever and revalidate the page each time", async () => {
    const asset = await app.inject("/assets/main-1a2b.js");
    expect([asset.statusCode, asset.body, asset.headers["cache-control"]]).toEqual([
      200,
      "console.log(1)",
      "public, max-age=31536000, immutable",
    ]);
    for (const url of ["/", "/jobs/12", "/executors?x=1"]) {
      const page = await app.inject(url);
      expect([page.statusCode, page.body, page.headers["cache-control"]]).toEqual([
        200,
        "<title>Airlock</title>",
        "no-cache",
      ]);
      expect(page.headers["content-security-policy"]).toContain("script-src 'self';");
    }
  });

  it.each(["/../secret", "/..%2fsecret", "/%2e%2e/secret", "/assets/..%2f..%2f..%2fsecret", "/.env"])(
    "do not include %s",
    async (url) => {
      expect((await app.inject(url)).body).not.toContain("secret");
    },
  );

  it("that do not exist get errors, not the page", async () => {
    expect((await app.inject("/assets/gone.js")).statusCode).toBe(404);
    expect((await app.inject({ method: "POST", url: "/jobs" })).statusCode).toBe(404);
  });
});
