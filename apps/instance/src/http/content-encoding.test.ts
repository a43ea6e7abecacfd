import path from "node:path";
import { buffer } from "node:stream/consumers";
import {
  brotliCompressSync,
  constants,
  createGzip,
  deflateSync,
  gunzipSync,
  gzipSync,
  zstdCompressSync,
} from "node:zlib";
import { createDatabase, describeWithEngines, engines, makeRepository, temporaryDirectory } from "@airlock/test-kit";
import { afterAll, beforeAll, expect, it } from "vitest";
import { createDirectoryBlobStore } from "../blobs/directory-blob-store.ts";
import { sendRaw } from "../testing/send-raw.ts";
import { jobHeaders, startTestInstance, type TakenJob, type TestInstance } from "../testing/test-instance.ts";

const megabyte = 1024 * 1024;
const executorName = "e";
const json = { "content-type": "application/json" };

const encoders: readonly [string, (data: Buffer) => Buffer][] = [
  ["gzip", gzipSync],
  ["x-gzip", gzipSync],
  ["GZIP", gzipSync],
  ["deflate", deflateSync],
  ["br", brotliCompressSync],
  ["zstd", zstdCompressSync],
  ["identity", (data) => data],
];

describeWithEngines(["postgres"], "compressed bodies", () => {
  const suite = new AsyncDisposableStack();
  let target: TestInstance;
  let job: TakenJob;
  let commit: string;
  beforeAll(async () => {
    const directory = suite.use(await temporaryDirectory());
    const source = await makeRepository(path.join(directory.path, "app"), [{ message: "1", files: [] }]);
    commit = source.head;
    const database = await createDatabase(engines().postgres?.url ?? "");
    target = suite.use(await startTestInstance(database, { maxArtifactBytes: 8 * megabyte }));
    await target.rest("POST", "/repositories", { name: "app", url: source.path });
    await target.rest("PATCH", "/queues/default", { leaseMs: 3_600_000 });
    await target.submit({ outputs: ["a"] });
    const taken = await target.executor("queue/default/dequeue", {
      executorName,
      airlock: { waitMs: 5000, capabilities: ["results"] },
    });
    job = (await taken.json()) as TakenJob;
  });
  afterAll(() => suite.disposeAsync());

  const call = async (method: string, path: string, headers: Record<string, string>, body: Buffer) => {
    const response = await fetch(target.url + path, { method, headers, body: new Uint8Array(body) });
    return { status: response.status, headers: response.headers, text: await response.text() };
  };
  const user = () => ({ authorization: `Bearer ${target.instance.administratorToken}` });
  const secret = () => ({ authorization: `token-executor ${target.instance.executorToken}` });
  const spec = Buffer.from(JSON.stringify({ steps: [{ image: "alpine", run: "true" }] }));
  const routes = (): [string, string, Record<string, string>][] => [
    ["POST", "/api/v1/jobs", { ...user(), ...json }],
    ["POST", "/.executors/queue/default/heartbeat", { ...secret(), ...json }],
    ["POST", "/.executors/queue/default/markComplete", { ...jobHeaders(job, executorName), ...json }],
    ["POST", `/.executors/lsif/upload?repository=app&commit=${commit}`, secret()],
    ["POST", `/.api/scip/upload?repository=app&commit=${commit}`, user()],
    ["PUT", "/.executors/queue/default/artifacts?attempt=1&name=a&kind=diff", jobHeaders(job, executorName)],
  ];

  it.each(encoders)("with Content-Encoding %s are accepted by the APIs", async (encoding, encode) => {
    const coding = { "content-encoding": encoding };
    const submitted = await call("POST", "/api/v1/jobs", { ...user(), ...json, ...coding }, encode(spec));
    expect([submitted.status, JSON.parse(submitted.text)]).toEqual([201, expect.objectContaining({ state: "queued" })]);
    const beat = encode(Buffer.from(JSON.stringify({ executorName: "x", version: "V2", jobIds: [] })));
    const heard = await call("POST", "/.executors/queue/default/heartbeat", { ...secret(), ...json, ...coding }, beat);
    expect([heard.status, JSON.parse(heard.text)]).toEqual([200, { knownIds: [], cancelIds: [] }]);
  });

  it("are stored as decoded indexes, and unchanged if the index itself is a gzip file", async () => {
    // `src` compresses the index itself and sends no Content-Encoding.
    const content = gzipSync("an index");
    await using blobs = await createDirectoryBlobStore({ directory: path.join(target.dataDirectory, "blobs") });
    const query = `repository=app&commit=${commit}`;
    const stored = async (headers: Record<string, string>, body: Buffer) => {
      const sent = await call("POST", `/.api/scip/upload?${query}`, { ...user(), ...headers }, body);
      const { id } = JSON.parse(sent.text) as { id: string };
      const { signal } = new AbortController();
      for await (const { key } of blobs.list(`uploads/${id}/`, { signal })) {
        const blob = await blobs.get(key, { signal });
        return await buffer(blob?.stream ?? expect.fail("the blob is gone"));
      }
      return expect.fail("nothing is stored");
    };
    expect(await stored({}, content)).toEqual(content);
    expect(await stored({ "content-type": "application/gzip" }, content)).toEqual(content);
    expect(await stored({ "content-encoding": "gzip" }, gzipSync(content))).toEqual(content);
    expect((await stored({ "content-encoding": "gzip" }, content)).toString()).toBe("an index");
  });

  it("are stored as decoded artifacts", async () => {
    const content = gzipSync("an archive");
    const put = `/.executors/queue/default/artifacts?attempt=1&name=outputs.tar.gz&kind=file-archive`;
    const headers = { ...jobHeaders(job, executorName), "content-encoding": "zstd" };
    expect((await call("PUT", put, headers, zstdCompressSync(content))).status).toBe(204);
    const { artifacts } = (await (await target.rest("GET", `/jobs/${job.id}/artifacts`)).json()) as {
      artifacts: { id: number; name: string }[];
    };
    const id = artifacts.find(({ name }) => name === "outputs.tar.gz")?.id;
    const kept = await target.rest("GET", `/jobs/${job.id}/artifacts/${id}`);
    expect(gunzipSync(Buffer.from(await kept.arrayBuffer())).toString()).toBe("an archive");
  });

  it("with an unknown encoding are refused with 415, which lists the supported encodings", async () => {
    for (const [method, route, headers] of routes()) {
      for (const encoding of ["compress", "gzip, gzip", "x".repeat(1000), "constructor", "aws-chunked"]) {
        const { status, text } = await call(
          method,
          route,
          { ...headers, "content-encoding": encoding },
          gzipSync(spec),
        );
        expect([route, status, text]).toEqual([route, 415, expect.stringContaining("one of gzip, deflate, br, zstd")]);
      }
    }
  });

  it.each(encoders.filter(([encoding]) => encoding !== "identity"))(
    "with Content-Encoding %s are refused with 400 if they are damaged or truncated",
    async (encoding, encode) => {
      const whole = encode(spec);
      for (const [method, route, headers] of routes()) {
        for (const body of [Buffer.from("nothing compressed at all"), whole.subarray(0, whole.length - 5)]) {
          const { status, text } = await call(method, route, { ...headers, "content-encoding": encoding }, body);
          expect([route, status, text]).toEqual([route, 400, expect.stringContaining(`is not valid ${encoding}`)]);
        }
      }
    },
  );

  it("in which data follows the compressed part are refused with 400, and never cut", async () => {
    const frame = zstdCompressSync(spec);
    const skippable = Buffer.from([0x50, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 1, 1]);
    const bodies: [string, Buffer][] = [
      ["deflate", Buffer.concat([deflateSync(spec), Buffer.from("more")])],
      ["br", Buffer.concat([brotliCompressSync(spec), Buffer.from("more")])],
      ["gzip", Buffer.concat([gzipSync(spec), Buffer.from("more")])],
      ["zstd", Buffer.concat([frame, Buffer.from("more")])],
      ["zstd", Buffer.concat([frame, frame])],
      ["zstd", Buffer.concat([skippable, frame])],
    ];
    for (const [encoding, body] of bodies) {
      for (const [method, route, headers] of routes()) {
        const { status, text } = await call(method, route, { ...headers, "content-encoding": encoding }, body);
        expect([encoding, route, status, text]).toEqual([
          encoding,
          route,
          400,
          expect.stringContaining(`is not valid ${encoding}`),
        ]);
      }
    }
  });

  it("that expand past the limit are refused with 413, in constant memory", async () => {
    const bombs: [string, Buffer][] = [
      ["gzip", await gzippedSpaces(2048)],
      [
        "br",
        brotliCompressSync(Buffer.alloc(256 * megabyte, " "), { params: { [constants.BROTLI_PARAM_QUALITY]: 1 } }),
      ],
      ["zstd", zstdCompressSync(Buffer.alloc(256 * megabyte, " "))],
    ];
    const before = process.memoryUsage().rss;
    let highest = before;
    const watch = setInterval(() => {
      highest = Math.max(highest, process.memoryUsage().rss);
    }, 10);
    try {
      for (const [encoding, bomb] of bombs) {
        for (const [method, route, headers] of routes()) {
          if (route.includes("upload")) continue;
          const answer = await sendRaw(target.url, {
            method,
            path: route,
            headers: { ...headers, "content-encoding": encoding },
            // A bomb that is larger than the route's limit would be refused for its own size.
            body: bomb.subarray(0, megabyte - 1),
          });
          expect([encoding, route, answer.status]).toEqual([encoding, route, 413]);
        }
      }
    } finally {
      clearInterval(watch);
    }
    expect(highest - before).toBeLessThan(96 * megabyte);
  });
});

/** Compresses so many MiB without holding them. */
async function gzippedSpaces(megabytes: number): Promise<Buffer> {
  const gzip = createGzip({ level: 9 });
  const spaces = Buffer.alloc(megabyte, " ");
  const parts: Buffer[] = [];
  gzip.on("data", (part: Buffer) => parts.push(part));
  for (let index = 0; index < megabytes; index++) {
    await new Promise<void>((resolve) => gzip.write(spaces, () => resolve()));
  }
  const ended = new Promise((resolve) => gzip.once("end", resolve));
  gzip.end();
  await ended;
  return Buffer.concat(parts);
}
