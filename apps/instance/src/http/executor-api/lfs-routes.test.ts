import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { createServer, type IncomingHttpHeaders, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { buffer } from "node:stream/consumers";
import {
  createDatabase,
  describeWithEngines,
  engines,
  makeRepository,
  type TemporaryDirectory,
  temporaryDirectory,
} from "@airlock/test-kit";
import { afterAll, beforeAll, beforeEach, expect, it } from "vitest";
import { jobHeaders, startTestInstance, type TakenJob, type TestInstance } from "../../testing/test-instance.ts";

const content = Buffer.alloc(1_500_000, "content ");
const oid = createHash("sha256").update(content).digest("hex");
const size = content.length;
const credentials = `Basic ${Buffer.from("mirror:s3cret of host").toString("base64")}`;

interface Listing {
  readonly objects: readonly {
    readonly oid: string;
    readonly size: number;
    readonly actions?: { readonly download: { readonly href: string } };
    readonly error?: { readonly code: number };
  }[];
}

describeWithEngines(["postgres"], "objects of Git LFS", () => {
  let target: TestInstance;
  let directory: TemporaryDirectory;
  let host: Server;
  let hostUrl: string;
  let job: TakenJob;
  const asked: { readonly path: string; readonly headers: IncomingHttpHeaders }[] = [];
  /** The download address that the code host returns; default: its own. */
  let href: string | undefined;
  let given: Buffer;

  beforeAll(async () => {
    directory = await temporaryDirectory();
    await makeRepository(`${directory.path}/own.git`, [{ message: "1", files: [{ path: "a", content: "a" }] }]);
    execFileSync("git", ["update-server-info"], { cwd: `${directory.path}/own.git` });
    // A test code host: the repository as files for git's dumb protocol, and a Git LFS server.
    host = createServer(async (request, response) => {
      const path = new URL(request.url ?? "", "http://host").pathname;
      if (request.headers.authorization !== credentials) {
        return void response.writeHead(401, { "www-authenticate": "Basic" }).end();
      }
      if (!path.includes("/info/lfs/")) {
        const file = await readFile(`${directory.path}${path}`).catch(() => null);
        return void response.writeHead(file ? 200 : 404).end(file);
      }
      asked.push({ path, headers: request.headers });
      if (request.method === "GET") return void response.writeHead(path.endsWith(oid) ? 200 : 302).end(given);
      const { objects } = JSON.parse((await buffer(request)).toString()) as Listing;
      const answers = objects.map((object) =>
        object.oid === oid
          ? { ...object, actions: { download: { href: href ?? `${hostUrl}/own.git/info/lfs/${oid}` } } }
          : { ...object, error: { code: 404, message: "Object does not exist" } },
      );
      response.writeHead(200, { "content-type": "application/vnd.git-lfs+json" });
      response.end(JSON.stringify({ objects: answers }));
    });
    await new Promise<void>((resolve) => host.listen(0, "127.0.0.1", resolve));
    hostUrl = `http://127.0.0.1:${(host.address() as AddressInfo).port}`;
    target = await startTestInstance(await createDatabase(engines().postgres?.url ?? ""), {
      mirrorLimits: { maxBytes: 50_000_000, maxObjects: 1000 },
    });
    const url = hostUrl.replace("//", "//mirror:s3cret%20of%20host@");
    for (const [name, address] of [
      ["team/own", `${url}/own.git`],
      ["team/local", `${directory.path}/own.git`],
    ]) {
      const added = await target.rest("POST", "/repositories", { name, url: address });
      expect(await added.json()).toMatchObject({ state: "ready", error: null });
    }
  });
  afterAll(async () => {
    await target?.[Symbol.asyncDispose]();
    host?.close();
    await directory?.[Symbol.asyncDispose]();
  });
  beforeEach(async () => {
    href = undefined;
    given = content;
    asked.length = 0;
    job = await take("team/own");
  });

  async function take(repository: string): Promise<TakenJob> {
    await target.submit({ repository });
    const response = await target.executor("queue/default/dequeue", { executorName: "e", airlock: { waitMs: 1000 } });
    return (await response.json()) as TakenJob;
  }
  const list = (body: object, name = "team/own", headers = jobHeaders(job, "e")) =>
    target.executor(`git/${name}/info/lfs/objects/batch`, body, headers);
  const download = { operation: "download", transfers: ["basic"], objects: [{ oid, size }] };
  const get = (path: string, headers = jobHeaders(job, "e")) => fetch(new URL(path, target.url), { headers });
  const own = `/.executors/git/team/own/info/lfs/objects/${oid}?size=${size}`;

  it("are fetched from the code host with the repository's credentials for a caller with the job's token", async () => {
    const unknown = "0".repeat(64);
    const listed = await list({ ...download, objects: [...download.objects, { oid: unknown, size: 1 }] });

    expect(listed.headers.get("content-type")).toContain("application/vnd.git-lfs+json");
    const { objects } = (await listed.json()) as Listing;
    const address = objects[0]?.actions?.download.href ?? "";
    expect(address).toBe(`${target.url}${own}`);
    expect(objects[1]).toMatchObject({ oid: unknown, error: { code: 404 } });
    const answer = await get(address);
    expect(Buffer.from(await answer.arrayBuffer()).equals(content)).toBe(true);
    expect(asked.every(({ headers }) => headers.authorization === credentials)).toBe(true);
    expect(asked.every(({ headers }) => headers["x-sourcegraph-job-id"] === undefined)).toBe(true);
    expect((await get(own.replaceAll(oid, unknown))).status).toBe(404);
  });

  it("can only be read, only for the job's own repository and only while the job runs", async () => {
    expect((await list(download, "team/local")).status).toBe(403);
    expect((await get(own.replace("/own/", "/local/"))).status).toBe(403);
    expect((await list(download, "team/own", {} as never)).status).toBe(401);
    expect((await list({ ...download, operation: "upload" })).status).toBe(403);
    expect((await list({ operation: "download", objects: [{ oid: "../../x", size: 1 }] })).status).toBe(422);
    expect((await list({ ...download, objects: Array(1001).fill({ oid, size }) })).status).toBe(422);
    expect((await get(own.replace(/\?.*/, ""))).status).toBe(400);
    const headers = jobHeaders(job, "e");
    await target.executor("queue/default/markComplete", { executorName: "e", jobId: job.id }, headers);
    expect((await list(download)).status).toBe(401);
    expect((await get(own)).status).toBe(401);
    expect(asked).toEqual([]);
  });

  it("are not served for a repository on the instance's own disk", async () => {
    job = await take("team/local");
    expect((await list(download, "team/local")).status).toBe(501);
  });

  it.each([
    ["a private address", "https://127.0.0.1:1/object"],
    ["a private IPv6 address", "https://[::ffff:127.0.0.1]:1/object"],
    ["a name with a private address", "https://localhost:1/object"],
    ["another host without TLS", "http://localhost:1/object"],
    ["no address", "object"],
  ])("are not fetched if the code host refers to %s", async (_, address) => {
    href = address;
    const answer = await get(own);
    expect(answer.status).toBe(502);
    expect(await answer.text()).toMatch(/internal address|invalid address|no public address|without TLS|none/);
  });

  it("are cut off if the code host sends more or less than announced, or redirects", async () => {
    for (const wrong of [Buffer.concat([content, content]), content.subarray(1)]) {
      given = wrong;
      await expect(get(own).then((answer) => answer.arrayBuffer())).rejects.toThrow();
    }
    href = `${hostUrl}/own.git/info/lfs/moved`;
    expect((await get(own)).status).toBe(502);
    expect((await get(own.replace(/=.*/, "=50000001"))).status).toBe(413);
  });
});
