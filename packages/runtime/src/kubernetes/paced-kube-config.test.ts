import { createServer } from "node:http";
import { CoreV1Api, Exec, Watch } from "@kubernetes/client-node";
import { expect, it, vi } from "vitest";
import { PacedKubeConfig, RequestPace } from "./paced-kube-config.ts";

it("requests to the API server are a burst at most, then so many per second, in order", async () => {
  const pace = new RequestPace({ perSecond: 100, burst: 10 });
  const startedAt = performance.now();
  const order: number[] = [];
  const turns = Array.from({ length: 40 }, async (_, index) => {
    await pace.turn();
    order.push(index);
    return performance.now() - startedAt;
  });
  const times = await Promise.all(turns);

  expect(times[9]).toBeLessThan(100);
  // Timers may fire a millisecond early.
  expect(times.at(-1)).toBeGreaterThanOrEqual(298);
  expect(order).toEqual([...order].sort((one, other) => one - other));
});

it("requests, watches and connections to pods each take a turn", async () => {
  const config = new PacedKubeConfig();
  config.loadFromClusterAndUser({ name: "c", server: "http://127.0.0.1:1", skipTLSVerify: true }, { name: "u" });
  const turn = vi.spyOn(RequestPace.prototype, "turn");
  const list = () => config.makeApiClient(CoreV1Api).listNamespacedPod({ namespace: "n" });
  const watch = async () => {
    const ended = Promise.withResolvers<void>();
    await new Watch(config).watch(
      "/api/v1/pods",
      {},
      () => {},
      () => ended.resolve(),
    );
    await ended.promise;
  };
  const connect = () => new Exec(config).exec("n", "p", "c", "x", null, null, null, false);
  try {
    for (const [index, send] of [list, watch, connect].entries()) {
      // There is no server.
      await send().catch(() => {});
      expect(turn).toHaveBeenCalledTimes(index + 1);
    }
  } finally {
    turn.mockRestore();
  }
});

it("requests share their connection to the API server, until the credentials change", async () => {
  const sockets = new Set<unknown>();
  const server = createServer((request, response) => {
    sockets.add(request.socket);
    response.writeHead(200, { "content-type": "application/json" }).end('{"items":[]}');
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  const url = `http://127.0.0.1:${typeof address === "object" && address ? address.port : 0}`;
  const config = new PacedKubeConfig();
  config.loadFromClusterAndUser({ name: "c", server: url, skipTLSVerify: true }, { name: "u" });
  const list = () => config.makeApiClient(CoreV1Api).listNamespacedPod({ namespace: "n" });
  try {
    for (let index = 0; index < 10; index += 1) await list();
    // The first connection may not be free yet for the second request.
    const shared = sockets.size;
    expect(shared).toBeLessThanOrEqual(2);
    config.users = [{ name: "u", certData: Buffer.from("another").toString("base64") }];
    await list();
    expect(sockets.size).toBe(shared + 1);
  } finally {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
});
