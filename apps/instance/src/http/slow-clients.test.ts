import { once } from "node:events";
import { createServer } from "node:http";
import { type AddressInfo, connect, type Socket } from "node:net";
import { createDatabase, describeWithEngines, engines } from "@airlock/test-kit";
import { afterAll, beforeAll, expect, it } from "vitest";
import { jobHeaders, startTestInstance, type TakenJob, type TestInstance } from "../testing/test-instance.ts";
import { limitConnections } from "./limit-connections.ts";

interface SlowClient {
  readonly title: string;
  /** Sent at once, followed by one byte of `drip` per second. */
  readonly head: string;
  readonly drip: string;
  /** Time in ms after which the connection must be closed: the limit plus some slack. */
  readonly goneAfterMs: number;
}

const headersLimitMs = 10_000;
const bodyLimitMs = 30_000;
const slackMs = 4000;

describeWithEngines(["postgres"], "a deliberately slow client", () => {
  let target: TestInstance;
  let job: TakenJob;
  beforeAll(async () => {
    target = await startTestInstance(await createDatabase(engines().postgres?.url ?? ""));
    await target.rest("PATCH", "/queues/default", { leaseMs: 3_600_000 });
    await target.submit();
    const taken = await target.executor("queue/default/dequeue", { executorName: "slow", airlock: { waitMs: 1000 } });
    job = (await taken.json()) as TakenJob;
  });
  afterAll(async () => {
    await target?.[Symbol.asyncDispose]();
  });

  const head = (line: string, headers: Record<string, string>) =>
    `${line} HTTP/1.1\r\nhost: x\r\n${Object.entries(headers)
      .map(([name, value]) => `${name}: ${value}\r\n`)
      .join("")}\r\n`;
  const long = { "content-type": "application/json", "content-length": "100000" };

  /** Returns the time in ms until the server closed the connection. */
  async function sendSlowly({ head: start, drip }: Pick<SlowClient, "head" | "drip">): Promise<number> {
    const { hostname, port } = new URL(target.url);
    const socket = connect({ host: hostname, port: Number(port) });
    const startedAt = performance.now();
    socket.on("error", () => {});
    socket.resume();
    await once(socket, "connect");
    socket.write(start);
    let at = 0;
    const dripping = setInterval(() => {
      socket.write(drip[at++ % drip.length] ?? "x");
    }, 1000);
    // A reset closes it, too: the instance does not read what still drips in.
    await new Promise<void>((resolve) => socket.once("close", () => resolve()));
    clearInterval(dripping);
    return performance.now() - startedAt;
  }

  it(
    "is disconnected while it trickles its headers or its body, whatever its credentials, and delays no other client",
    async () => {
      const ofExecutor = { authorization: `token-executor ${target.instance.executorToken}` };
      const ofAdministrator = { authorization: `Bearer ${target.instance.administratorToken}` };
      const ofJob = jobHeaders(job, "slow");
      const headers = (title: string, start: string): SlowClient => ({
        title,
        head: start,
        drip: "x-a: b\r\n",
        goneAfterMs: headersLimitMs + slackMs,
      });
      const body = (title: string, line: string, credentials: Record<string, string>, extra = long): SlowClient => ({
        title,
        head: head(line, { ...credentials, ...extra }),
        drip: " ",
        goneAfterMs: bodyLimitMs + slackMs,
      });
      const clients: readonly SlowClient[] = [
        headers("nothing but a request line", "POST /.executors/queue/default/dequeue HTTP/1.1\r\n"),
        headers("a request line in pieces", "PO"),
        headers("headers of the REST API", "GET /api/v1/jobs HTTP/1.1\r\nhost: x\r\n"),
        body("a dequeue", "POST /.executors/queue/default/dequeue", ofExecutor),
        body("a heartbeat", "POST /.executors/queue/default/heartbeat", ofExecutor),
        body("a log", "POST /.executors/queue/default/logs", ofJob),
        body("a report of the end", "POST /.executors/queue/default/markComplete", ofJob),
        body("a git request", "POST /.executors/git/one/git-upload-pack", ofJob),
        body("a job", "POST /api/v1/jobs", ofAdministrator),
        body("a session", "POST /api/v1/session", {}),
        body("a body where none belongs", "GET /api/v1/jobs", ofAdministrator),
        body("a stranger's body", "POST /.executors/queue/default/dequeue", {}),
        body("a body for no route", "POST /nowhere", {}),
      ];
      const slow = clients.map(async (client) => [client.title, (await sendSlowly(client)) <= client.goneAfterMs]);
      // Many slow clients, while others send normal requests.
      const crowd = Array.from({ length: 300 }, () => sendSlowly({ head: "GET / HTTP/1.1\r\n", drip: "x-a: b\r\n" }));
      const startedAt = performance.now();
      while (performance.now() - startedAt < 5000) {
        const askedAt = performance.now();
        expect((await fetch(`${target.url}/healthz`)).status).toBe(200);
        expect(performance.now() - askedAt).toBeLessThan(1000);
        await new Promise((resolve) => setTimeout(resolve, 200));
      }
      expect(await Promise.all(slow)).toEqual(clients.map(({ title }) => [title, true]));
      for (const ms of await Promise.all(crowd)) expect(ms).toBeLessThan(headersLimitMs + slackMs + 2000);
      expect(await (await target.rest("GET", `/jobs/${job.id}`)).json()).toMatchObject({ state: "processing" });
    },
    bodyLimitMs + 30_000,
  );
});

it("connections beyond the limit are closed, and a new one is accepted when another ends", async () => {
  const server = createServer((_request, response) => response.end("ok"));
  limitConnections(server, 2);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const sockets: Socket[] = [];
  const open = async (): Promise<boolean> => {
    const socket = connect({ host: "127.0.0.1", port });
    sockets.push(socket);
    socket.on("error", () => {});
    socket.write("GET / HTTP/1.1\r\nhost: x\r\n\r\n");
    const [data] = (await Promise.race([once(socket, "data"), once(socket, "close")])) as [unknown];
    return Buffer.isBuffer(data);
  };
  try {
    expect([await open(), await open(), await open()]).toEqual([true, true, false]);
    sockets[0]?.destroy();
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(await open()).toBe(true);
  } finally {
    for (const socket of sockets) socket.destroy();
    server.close();
  }
});
