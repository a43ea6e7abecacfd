import { once } from "node:events";
import { createServer, type RequestListener } from "node:http";
import { createServer as createSecureServer } from "node:https";
import { type AddressInfo, createServer as createTcpServer } from "node:net";
import { forwardingProxy, makeCertificates, temporaryDirectory } from "@airlock/test-kit";
import { expect, it, onTestFinished } from "vitest";
import { readProxies } from "./parse-proxies.ts";
import { RoutedAgents } from "./routed-agents.ts";

async function serve(
  listener: RequestListener,
  tls?: { readonly cert: string; readonly key: string },
): Promise<number> {
  const server = tls ? createSecureServer(tls, listener) : createServer(listener);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

function open(env: Readonly<Record<string, string>>, options: ConstructorParameters<typeof RoutedAgents>[1] = {}) {
  const agents = new RoutedAgents(readProxies(env), options);
  onTestFinished(async () => await agents[Symbol.asyncDispose]());
  return async (address: string) => {
    const url = new URL(address);
    const answer = await agents.for(url).request({ origin: url.origin, path: url.pathname, method: "GET" });
    return `${answer.statusCode} ${await answer.body.text()}`;
  };
}

it("an http request is sent to the proxy with its absolute URL", async () => {
  const port = await serve(({ headers }, response) => response.end(`host ${headers.host}`));
  const proxy = await forwardingProxy({ routes: { "plain.test:80": port, "plain.test:8080": port } });
  const get = open({ HTTP_PROXY: proxy.url });

  expect(await get("http://plain.test/x")).toBe("200 host plain.test");
  expect(await get("http://plain.test:8080/y")).toBe("200 host plain.test:8080");
  expect(proxy.requests).toEqual(["GET http://plain.test/x", "GET http://plain.test:8080/y"]);
});

it("an https request goes through a tunnel, and the server's certificate is checked", async () => {
  await using directory = await temporaryDirectory();
  const certificates = await makeCertificates(directory.path, "DNS:secure.test");
  let seen: string | undefined = "";
  const port = await serve(({ headers }, response) => {
    seen = headers["proxy-authorization"];
    response.end("secure");
  }, certificates);
  const credentials = "user:p%40ss";
  const proxy = await forwardingProxy({
    routes: { "secure.test:443": port, "other.test:443": port },
    credentials: "user:p@ss",
  });
  const env = { HTTPS_PROXY: `http://${credentials}@127.0.0.1:${proxy.port}` };
  const get = open(env, { connect: { ca: certificates.ca } });

  expect(await get("https://secure.test/x")).toBe("200 secure");
  expect(seen).toBeUndefined();
  expect(proxy.requests).toEqual(["CONNECT secure.test:443"]);
  await expect(get("https://other.test/")).rejects.toThrow(/altnames|does not match/);
  await expect(open(env)("https://secure.test/")).rejects.toThrow(/certificate/);
});

it("a proxy that refuses is a network error, which shows no credentials", async () => {
  const proxy = await forwardingProxy({ credentials: "user:other" });
  const get = open({ ALL_PROXY: `http://user:s3cret@127.0.0.1:${proxy.port}` });

  for (const address of ["http://plain.test/", "https://secure.test/"]) {
    const error = await get(address).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(Error);
    expect(String(error)).toContain("407");
    expect(String((error as Error).stack)).not.toContain("s3cret");
  }
  expect(proxy.refused).toBe(2);
});

it("a proxy that hangs up or never answers ends the request", async () => {
  const sockets = new Set<{ destroy(): void }>();
  const mute = createTcpServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
  });
  mute.listen(0, "127.0.0.1");
  await once(mute, "listening");
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    mute.close();
  });
  const get = open(
    { ALL_PROXY: `http://127.0.0.1:${(mute.address() as AddressInfo).port}` },
    { headersTimeout: 500, bodyTimeout: 500 },
  );

  await expect(get("http://plain.test/")).rejects.toThrow(/[Tt]imeout/);
  const waiting = expect(get("https://secure.test/")).rejects.toThrow();
  await once(mute, "connection");
  for (const socket of sockets) socket.destroy();
  await waiting;
});

it("requests to this machine and to NO_PROXY hosts bypass the proxy", async () => {
  const port = await serve((_, response) => response.end("near"));
  const proxy = await forwardingProxy();
  const get = open({ ALL_PROXY: proxy.url });

  expect(await get(`http://127.0.0.1:${port}/`)).toBe("200 near");
  expect(await get(`http://localhost:${port}/`)).toBe("200 near");
  expect(proxy.requests).toEqual([]);
});
