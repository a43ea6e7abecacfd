import { getEventListeners, once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { noProxies } from "@airlock/proxy";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { HttpClient } from "./http-client.ts";

describe("HttpClient", () => {
  let server: Server;
  let client: HttpClient;
  beforeEach(async () => {
    server = createServer((_request, response) => response.end("data: 1\n\n")).listen(0, "127.0.0.1");
    await once(server, "listening");
    client = new HttpClient(new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}`), noProxies);
  });
  afterEach(async () => {
    await client.close();
    server.close();
  });

  it("leaves no listener on the signal after streams and requests have ended", async () => {
    const { signal } = new AbortController();
    const request = { method: "GET", path: "/", headers: {}, timeoutMs: 1000, signal } as const;
    for (let round = 0; round < 50; round += 1) {
      const stream = await client.stream(request);
      for await (const part of stream) expect(part.toString()).toBe("data: 1\n\n");
      await client.request(request);
    }
    expect(getEventListeners(signal, "abort")).toEqual([]);
  });
});
