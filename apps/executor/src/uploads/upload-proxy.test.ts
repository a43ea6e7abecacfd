import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { Readable } from "node:stream";
import { buffer, text } from "node:stream/consumers";
import { describe, expect, it } from "vitest";
import { type SendUpload, UploadProxy, type UploadProxyOptions, uploadPort } from "./upload-proxy.ts";

const host = `Host: 127.0.0.1:${uploadPort}`;
const route = "/.executors/lsif/upload";

describe("an upload connection", () => {
  it.each(["/.executors/lsif/upload", "/.executors/scip/upload", "/.api/lsif/upload", "/.api/scip/upload"])(
    "carries an index to %s, without the step's own credentials",
    async (path) => {
      await using way = await openWay();

      const answer = await way.send(
        [
          `POST ${path}?repository=a%2Fb&commit=c HTTP/1.1`,
          host,
          "Authorization: token-executor stolen",
          "X-Forwarded-For: 10.0.0.1",
          "X-Sourcegraph-Actor-Uid: internal",
          "Cookie: a=b",
          "Connection: close, X-Uncompressed-Size",
          "Content-Type: application/x-protobuf+scip",
          "Content-Length: 5",
          "",
          "index",
        ].join("\r\n"),
      );

      expect(answer).toMatch(/^HTTP\/1\.1 202 /);
      expect(answer).toContain('{"id":"7"}');
      expect(way.sent).toEqual([
        {
          method: "POST",
          path: `${path.slice(1)}?repository=a%2Fb&commit=c`,
          headers: { "content-type": "application/x-protobuf+scip", "content-length": "5" },
          body: "index",
        },
      ]);
    },
  );

  it("carries HEAD, a chunked body, and a body that waits for permission", async () => {
    await using way = await openWay();

    await way.send(`HEAD ${route} HTTP/1.1\r\n${host}\r\n\r\n`);
    await way.send(`POST ${route} HTTP/1.1\r\n${host}\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n`);
    const answer = await way.send(
      `POST ${route} HTTP/1.1\r\n${host}\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nok`,
    );

    expect(way.sent.map(({ method, body }) => [method, body])).toEqual([
      ["HEAD", ""],
      ["POST", "abc"],
      ["POST", "ok"],
    ]);
    expect(answer).toMatch(/^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 202 /);
  });

  const post = `POST ${route} HTTP/1.1\r\n`;
  const refused: Record<string, string> = {
    "another route": `POST /api/v1/jobs HTTP/1.1\r\n${host}\r\n\r\n`,
    "the root": `POST / HTTP/1.1\r\n${host}\r\n\r\n`,
    "a longer route": `POST ${route}/x HTTP/1.1\r\n${host}\r\n\r\n`,
    "a route with a dot segment": `POST /.executors/x/../lsif/upload HTTP/1.1\r\n${host}\r\n\r\n`,
    "a route out of an upload's": `POST ${route}/../../queue/dequeue HTTP/1.1\r\n${host}\r\n\r\n`,
    "an encoded route": `POST /.executors/lsif/uploa%64 HTTP/1.1\r\n${host}\r\n\r\n`,
    "an encoded slash": `POST /.executors%2flsif/upload HTTP/1.1\r\n${host}\r\n\r\n`,
    "a doubled slash": `POST /${route} HTTP/1.1\r\n${host}\r\n\r\n`,
    "a fragment": `POST ${route}#x HTTP/1.1\r\n${host}\r\n\r\n`,
    "an absolute address": `POST http://127.0.0.1:${uploadPort}${route} HTTP/1.1\r\n${host}\r\n\r\n`,
    "another server": `POST http://169.254.169.254/ HTTP/1.1\r\n${host}\r\n\r\n`,
    CONNECT: `CONNECT 10.0.0.1:80 HTTP/1.1\r\n${host}\r\n\r\n`,
    GET: `GET ${route} HTTP/1.1\r\n${host}\r\n\r\n`,
    DELETE: `DELETE ${route} HTTP/1.1\r\n${host}\r\n\r\n`,
    "an upgrade": `${post}${host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n`,
    "another host": `${post}Host: instance.example.com\r\n\r\n`,
    "no host": `${post}\r\n`,
    "two hosts": `${post}${host}\r\n${host}\r\n\r\n`,
    "both lengths": `${post}${host}\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    "two lengths": `${post}${host}\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcde`,
    "another encoding": `${post}${host}\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n`,
    "a hidden encoding": `${post}${host}\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n`,
    "a negative length": `${post}${host}\r\nContent-Length: -1\r\n\r\n`,
    "a length beyond the limit": `${post}${host}\r\nContent-Length: 99999999999\r\n\r\n`,
    "a header with a bare line feed": `${post}${host}\r\nA: b\nAuthorization: c\r\n\r\n`,
    "a folded header": `${post}${host}\r\nA: b\r\n Authorization: c\r\n\r\n`,
    "a header with a space before the colon": `${post}${host}\r\nContent-Length : 4\r\n\r\nabcd`,
    "a header that is too long": `${post}${host}\r\nA: ${"b".repeat(20_000)}\r\n\r\n`,
    "HTTP/2": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    TLS: "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
  };
  it.each(Object.keys(refused))("refuses %s", async (name) => {
    await using way = await openWay();

    const answer = await way.send(refused[name] ?? "");

    expect(answer).toMatch(name === "CONNECT" ? /^$/ : /^HTTP\/1\.1 4\d\d .*"code":"[a-z-]+","hint":"[^"]+"/s);
    expect(way.sent).toEqual([]);
  });

  it("carries one request only", async () => {
    await using way = await openWay();
    const one = `POST ${route} HTTP/1.1\r\n${host}\r\nContent-Length: 1\r\n\r\na`;

    const answer = await way.send(one + one.replace("1\r\n\r\na", "1\r\n\r\nb"));

    expect(way.sent.map(({ body }) => body)).toEqual(["a"]);
    expect(answer.match(/HTTP\/1\.1 202/g)).toHaveLength(1);
  });

  it("streams an index with backpressure", async () => {
    const chunks: number[] = [];
    const { promise: released, resolve: release } = Promise.withResolvers<void>();
    await using way = await openWay({
      send: async ({ body }) => {
        await released;
        for await (const chunk of body ?? []) chunks.push(chunk.length);
        return { status: 202, contentType: undefined, body: Readable.from([]) };
      },
    });
    const bytes = 64 << 20;
    const socket = await way.connect();
    socket.write(`POST ${route} HTTP/1.1\r\n${host}\r\nContent-Length: ${bytes}\r\n\r\n`);
    const waits = !socket.write(Buffer.alloc(bytes));
    expect(waits).toBe(true);
    release();

    expect(await text(socket)).toMatch(/^HTTP\/1\.1 202 /);
    expect(chunks.reduce((sum, length) => sum + length, 0)).toBe(bytes);
    expect(Math.max(...chunks)).toBeLessThanOrEqual(1 << 20);
  });

  it("breaks off with a step that sends its headers too slowly", async () => {
    await using way = await openWay({ headerMs: 50 });
    const socket = await way.connect();
    socket.write(`POST ${route} HTTP/1.1\r\n`);

    expect(await text(socket)).toBe("");
  });

  it("breaks off with a step that stops in the middle of its body", async () => {
    await using way = await openWay({ stallMs: 50 });
    const socket = await way.connect();
    socket.write(`POST ${route} HTTP/1.1\r\n${host}\r\nContent-Length: 10\r\n\r\nabc`);

    expect(await text(socket)).toMatch(/^HTTP\/1\.1 408 .*upload-too-slow/s);
  });

  it("ends the request to the instance when the step goes away", async () => {
    const { promise: aborted, resolve } = Promise.withResolvers<void>();
    const { promise: began, resolve: begin } = Promise.withResolvers<void>();
    await using way = await openWay({
      send: (_upload, signal) => {
        begin();
        return new Promise((_, reject) => {
          signal.addEventListener("abort", () => {
            resolve();
            reject(signal.reason);
          });
        });
      },
    });
    const socket = await way.connect();
    socket.write(`POST ${route} HTTP/1.1\r\n${host}\r\nContent-Length: 10\r\n\r\nabc`);
    await began;
    socket.destroy();

    await aborted;
  });

  it("hides the instance's address and redirects", async () => {
    await using broken = await openWay({
      send: () => Promise.reject(new Error("connect ECONNREFUSED 10.1.2.3:443 through the proxy http://secret")),
    });
    await using moved = await openWay({
      send: async () => ({ status: 302, contentType: undefined, body: Readable.from([]) }),
    });
    const request = `POST ${route} HTTP/1.1\r\n${host}\r\nContent-Length: 1\r\n\r\na`;

    const answer = await broken.send(request);

    expect(answer).toMatch(/^HTTP\/1\.1 502 .*instance-unreachable/s);
    expect(answer).not.toMatch(/10\.1\.2\.3|secret/);
    expect(await moved.send(request)).toMatch(/^HTTP\/1\.1 502 /);
  });

  it("is one of at most 16", async () => {
    await using way = await openWay();
    const sockets = await Promise.all(Array.from({ length: 16 }, () => way.connect()));
    await way.accepted(16);

    expect(await text(await way.connect())).toMatch(/^HTTP\/1\.1 503 .*too-many-connections/s);

    const first = sockets[0];
    first?.destroy();
    await expect.poll(() => way.send(`HEAD ${route} HTTP/1.1\r\n${host}\r\n\r\n`)).toMatch(/^HTTP\/1\.1 202 /);
  });

  it("ends with the job", async () => {
    await using way = await openWay();
    const socket = await way.connect();
    await way.accepted(1);

    way.proxy[Symbol.dispose]();

    expect(await text(socket)).toBe("");
    expect(await text(await way.connect())).toBe("");
  });
});

interface Sent {
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

async function openWay(options: Partial<UploadProxyOptions> = {}) {
  const sent: Sent[] = [];
  const record: SendUpload = async ({ body, ...upload }) => {
    sent.push({ ...upload, body: body ? (await buffer(body)).toString() : "" });
    return { status: 202, contentType: "application/json", body: Readable.from(['{"id":"7"}']) };
  };
  const proxy = new UploadProxy({ port: uploadPort, send: record, ...options });
  const server = createServer({ allowHalfOpen: true }, proxy.serve);
  let accepted = 0;
  server.on("connection", () => {
    accepted += 1;
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const sockets: Socket[] = [];
  const open = async () => {
    const socket = connect(port, "127.0.0.1");
    socket.on("error", () => {});
    sockets.push(socket);
    await once(socket, "connect");
    return socket;
  };
  return {
    proxy,
    sent,
    connect: open,
    accepted: (count: number) => expect.poll(() => accepted).toBe(count),
    async send(request: string): Promise<string> {
      const socket = await open();
      socket.write(request, "latin1");
      return await text(socket);
    },
    async [Symbol.asyncDispose]() {
      proxy[Symbol.dispose]();
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
}
