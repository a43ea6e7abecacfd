import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer, type IncomingHttpHeaders } from "node:http";
import type { AddressInfo } from "node:net";
import { buffer } from "node:stream/consumers";
import { readProxies } from "@airlock/proxy";
import {
  commandLines,
  createDatabase,
  describeWithEngines,
  engines,
  forwardingProxy,
  makeRepository,
  temporaryDirectory,
} from "@airlock/test-kit";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createS3BlobStore } from "../blobs/s3-blob-store.ts";
import { startTestInstance } from "../testing/test-instance.ts";
import { LfsAgents, LfsUpstream } from "./lfs-upstream.ts";
import { parseRepositoryUrl } from "./repository-url.ts";

const password = "s3cret-of-the-proxy";
const object = Buffer.from("content of an object\n");
const oid = createHash("sha256").update(object).digest("hex");
const signal = AbortSignal.timeout(60_000);

let stack: AsyncDisposableStack;
let port: number;
/** Where the code host says that its objects of Git LFS are. */
let objectsAt: string;
let asked: { readonly headers: IncomingHttpHeaders }[];
/** The command lines of all processes while git asked the code host. */
let running: string;

beforeEach(async () => {
  stack = new AsyncDisposableStack();
  asked = [];
  running = "";
  objectsAt = "http://git.test/lfs";
  const { path } = stack.use(await temporaryDirectory());
  await makeRepository(`${path}/app.git`, [{ message: "1", files: [{ path: "a", content: "a" }] }]);
  execFileSync("git", ["update-server-info"], { cwd: `${path}/app.git` });
  const host = createServer(async (incoming, response) => {
    asked.push({ headers: incoming.headers });
    running += commandLines().join("\n");
    const url = new URL(incoming.url ?? "", "http://host");
    if (incoming.method === "POST") {
      await buffer(incoming);
      const actions = { download: { href: `${objectsAt}/${oid}` } };
      return void response.end(JSON.stringify({ objects: [{ oid, size: object.length, actions }] }));
    }
    if (url.pathname === `/lfs/${oid}`) return void response.end(object);
    const file = await readFile(`${path}${url.pathname}`).catch(() => null);
    response.writeHead(file ? 200 : 404).end(file);
  });
  host.listen(0, "127.0.0.1");
  await once(host, "listening");
  stack.defer(() => {
    host.closeAllConnections();
    host.close();
  });
  port = (host.address() as AddressInfo).port;
});
afterEach(() => stack.disposeAsync());

describeWithEngines(["postgres"], "a code host behind a proxy", () => {
  const instance = async (env: Readonly<Record<string, string>>) =>
    stack.use(
      await startTestInstance(await createDatabase(engines().postgres?.url ?? ""), { proxies: readProxies(env) }),
    );

  it("is mirrored through the proxy, and the proxy's password is on no command line", async () => {
    const proxy = await forwardingProxy({ routes: { "git.test:80": port }, credentials: `ci:${password}` });
    const target = await instance({ HTTP_PROXY: proxy.url });
    const added = await target.rest("POST", "/repositories", { name: "app", url: "http://git.test/app.git" });
    expect(added.status).toBe(201);
    const job = { repository: "app", egress: "none", steps: [{ image: "x", run: "true" }] };
    expect((await target.rest("POST", "/jobs", job)).status).toBe(201);

    expect(proxy.requests.join("\n")).toContain("GET http://git.test/app.git/info/refs?service=git-upload-pack");
    expect(asked.every(({ headers }) => headers["proxy-authorization"] === undefined)).toBe(true);
    expect(running).toContain("git-remote-http");
    expect(running).not.toContain(password);
  });

  it("that the proxy refuses gets an error that names the proxy and its variable, but not its password", async () => {
    const proxy = await forwardingProxy({ credentials: "ci:other" });
    const target = await instance({ ALL_PROXY: `http://ci:${password}@127.0.0.1:${proxy.port}` });
    for (const scheme of ["http", "https"]) {
      await target.rest("POST", "/repositories", { name: scheme, url: `${scheme}://git.test/${scheme}.git` });
      const refreshed = await target.rest("POST", `/repositories/${scheme}/refresh`);
      const text = await refreshed.text();
      expect(text).toContain(`through the proxy http://127.0.0.1:${proxy.port}`);
      expect(text).toContain("ALL_PROXY");
      const listed = await (await target.rest("GET", "/repositories")).text();
      expect(text + listed).not.toContain(password);
    }
  });
});

describe("objects of Git LFS behind a proxy", () => {
  const open = async (env: Readonly<Record<string, string>>) => {
    const agents = stack.use(new LfsAgents(readProxies(env)));
    const source = parseRepositoryUrl("http://ci:token-of-host@git.test/app.git", { allowLocal: false });
    return await new LfsUpstream(source, agents).open({ oid, size: object.length }, signal);
  };

  it("are fetched through the proxy", async () => {
    const proxy = await forwardingProxy({ routes: { "git.test:80": port } });
    expect(await buffer(await open({ HTTP_PROXY: proxy.url }))).toEqual(object);
    expect(proxy.requests).toEqual([
      "POST http://git.test/app.git/info/lfs/objects/batch",
      `GET http://git.test/lfs/${oid}`,
    ]);
  });

  it("on another public host are fetched through the proxy with https and without credentials", async () => {
    objectsAt = "https://storage.test";
    const proxy = await forwardingProxy({ routes: { "git.test:80": port } });
    // The proxy has no route to the storage. It was asked for it, which is what counts here.
    await expect(open({ ALL_PROXY: proxy.url })).rejects.toThrow(/through the proxy/);
    expect(proxy.requests).toContain("CONNECT storage.test:443");
  });

  it.each([
    "https://10.1.2.3",
    "https://169.254.169.254",
    "https://[fd00::1]",
    "https://metadata.google.internal",
    "https://wiki",
    "https://nas.local",
    "https://127.0.0.1:1",
    "https://localhost:1",
    "http://storage.test",
  ])("are not fetched from %s, and the proxy gets no request for it", async (place) => {
    objectsAt = place;
    const proxy = await forwardingProxy({ routes: { "git.test:80": port } });
    await expect(open({ ALL_PROXY: proxy.url })).rejects.toMatchObject({ code: "lfs-unavailable" });
    expect(proxy.requests).toEqual(["POST http://git.test/app.git/info/lfs/objects/batch"]);
  });
});

describe("object storage behind a proxy", () => {
  const options = {
    endpoint: "http://storage.test:9000",
    region: "us-east-1",
    bucket: "bucket",
    prefix: "",
    accessKeyId: "id",
    secretAccessKey: "secret",
    forcePathStyle: true,
  };

  it("is accessed through the proxy", async () => {
    const proxy = await forwardingProxy({ routes: { "storage.test:9000": port }, credentials: `ci:${password}` });
    const store = stack.use(createS3BlobStore({ ...options, proxies: readProxies({ HTTP_PROXY: proxy.url }) }));
    await expect(store.list("", { signal })[Symbol.asyncIterator]().next()).rejects.toThrow();
    expect(proxy.requests[0]).toMatch(/^GET http:\/\/storage\.test:9000\/bucket/);
  });

  it("with https is accessed through a tunnel", async () => {
    const proxy = await forwardingProxy();
    const endpoint = "https://storage.test";
    const proxies = readProxies({ HTTPS_PROXY: proxy.url });
    const store = stack.use(createS3BlobStore({ ...options, endpoint, proxies }));
    await expect(store.list("", { signal })[Symbol.asyncIterator]().next()).rejects.toThrow();
    expect(proxy.requests[0]).toBe("CONNECT storage.test:443");
  });
});
