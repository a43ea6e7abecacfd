import { createHmac } from "node:crypto";
import type { lookup } from "node:dns";
import { once } from "node:events";
import { createServer, type IncomingHttpHeaders, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import {
  ApiError,
  CreatedWebhook,
  WebhookDeliveryList,
  type WebhookDeliveryView,
  WebhookList,
  WebhookMessage,
} from "@airlock/api";
import { noProxies } from "@airlock/proxy";
import { createDatabase, describeWithEngines, engines } from "@airlock/test-kit";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { tablesWithText } from "../testing/tables-with-text.ts";
import { jobHeaders, startTestInstance, type TakenJob, type TestInstance } from "../testing/test-instance.ts";
import { isPublicAddress } from "./allowed-addresses.ts";
import { WebhookConnections } from "./send-webhook.ts";

interface Received {
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

describeWithEngines(["postgres"], "webhooks", () => {
  const received: Received[] = [];
  /** Status of the answers for each path. The default is 204. */
  const statuses = new Map<string, number>();
  let server: Server;
  let receiver: string;
  let target: TestInstance;
  let second: TestInstance;
  let client: pg.Client;

  beforeAll(async () => {
    server = createServer(async (request, response) => {
      const path = request.url ?? "";
      received.push({ path, headers: request.headers, body: await text(request) });
      const status = statuses.get(path) ?? 204;
      response.writeHead(status, status === 302 ? { location: "/elsewhere" } : {}).end();
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
    receiver = `http://${host}`;
    const database = await createDatabase(engines().postgres?.url ?? "");
    const secretKeys = { kind: "text", text: Buffer.alloc(32, 1).toString("base64") } as const;
    target = await startTestInstance(database, { webhookHosts: [host], secretKeys });
    // Two instances send. Each message must be sent once.
    second = await startTestInstance({ url: database.url }, { webhookHosts: [host], secretKeys });
    client = new pg.Client({ connectionString: database.url });
    await client.connect();
    for (const name of ["team", "other"]) await target.rest("POST", "/organizations", { name });
  });
  afterAll(async () => {
    await client?.end();
    await second?.[Symbol.asyncDispose]();
    await target?.[Symbol.asyncDispose]();
    server?.closeAllConnections();
    server?.close();
  });

  const create = async (path: string, more: object = {}) => {
    const body = { namespace: "team", name: "test", url: receiver + path, ...more };
    const response = await target.rest("POST", "/webhooks", body);
    expect(response.status, await response.clone().text()).toBe(201);
    return CreatedWebhook.parse(await response.json());
  };
  const at = (path: string) => received.filter((one) => one.path === path);
  const deliveries = async (id: number): Promise<readonly WebhookDeliveryView[]> =>
    WebhookDeliveryList.parse(await (await target.rest("GET", `/webhooks/${id}/deliveries`)).json()).deliveries;
  const end = (id: number) => target.rest("DELETE", `/webhooks/${id}`);
  const cancel = async (path: string, more?: object) => {
    const webhook = await create(path, { events: ["job.canceled"], ...more });
    await target.rest("POST", `/jobs/${await target.submit({ namespace: "team" })}/cancel`);
    return webhook;
  };

  it("get each state of a namespace's jobs once, signed as Standard Webhooks says", async () => {
    const all = ["job.queued", "job.processing", "job.completed"];
    const webhook = await create("/all", { events: all });
    const id = await target.submit({ namespace: "team", queue: "batches" });
    await target.submit({ namespace: "other", queue: "codeintel" });
    const taken = (await (
      await target.executor("queue/batches/dequeue", { executorName: "e", version: "6.0.0" })
    ).json()) as TakenJob;
    const ended = { executorName: "e", jobId: id };
    await target.executor("queue/batches/markComplete", ended, jobHeaders(taken, "e"));
    await expect.poll(() => at("/all").length, { timeout: 10_000 }).toBe(3);
    const messages = at("/all").map(({ body }) => WebhookMessage.parse(JSON.parse(body)));
    expect(messages.map(({ type }) => type).sort()).toEqual(all.sort());
    expect(messages.every(({ data }) => data.id === id && data.namespace === "team")).toBe(true);
    for (const { headers, body } of at("/all")) {
      const { "webhook-id": messageId, "webhook-timestamp": time, "webhook-signature": signature } = headers;
      expect(webhook.secret).toMatch(/^whsec_[A-Za-z0-9+/]{43}=$/);
      const key = Buffer.from(webhook.secret.slice("whsec_".length), "base64");
      const expected = createHmac("sha256", key).update(`${messageId}.${time}.${body}`).digest("base64");
      expect(signature).toBe(`v1,${expected}`);
      expect(Math.abs(Date.now() / 1000 - Number(time))).toBeLessThan(60);
    }
    expect(new Set(at("/all").map(({ headers }) => headers["webhook-id"])).size).toBe(3);
    await expect
      .poll(async () => (await deliveries(webhook.id)).map(({ state }) => state))
      .toEqual(Array(3).fill("delivered"));
    expect((await deliveries(webhook.id))[0]).toMatchObject({
      event: "job.completed",
      job: id,
      nextTryAt: null,
      tries: [{ status: 204, error: null }],
    });
    expect(await tablesWithText(target.instance.databaseUrl, [webhook.secret])).toEqual([]);
    await end(webhook.id);
  });

  it("are tried again after a wait, with the same id, and after a crash of the sender", async () => {
    statuses.set("/away", 503);
    const webhook = await cancel("/away");
    await expect.poll(async () => (await deliveries(webhook.id))[0]?.tries.length).toBe(1);
    const [first] = await deliveries(webhook.id);
    expect(first).toMatchObject({ state: "pending", tries: [{ status: 503, error: "the receiver answered 503" }] });
    const waits = Date.parse(first?.nextTryAt ?? "") - Date.parse(first?.tries[0]?.at ?? "");
    expect(waits).toBeGreaterThanOrEqual(4900);
    expect(waits).toBeLessThan(20_000);
    statuses.set("/away", 200);
    // The row of a sender that was killed while it sent.
    await client.query(
      "update webhook_deliveries set visible_at = airlock_now() - interval '1 minute', tries = tries + 1, " +
        "lease_expires_at = airlock_now() - interval '1 second' where webhook = $1",
      [webhook.id],
    );
    await expect.poll(async () => (await deliveries(webhook.id))[0]?.state, { timeout: 10_000 }).toBe("delivered");
    expect(at("/away").length).toBe(2);
    expect(new Set(at("/away").map(({ headers }) => headers["webhook-id"])).size).toBe(1);
    expect((await deliveries(webhook.id))[0]?.tries.map(({ status }) => status)).toEqual([503, 200]);
    const { id } = (await deliveries(webhook.id))[0] ?? { id: 0 };
    expect((await target.rest("POST", `/webhooks/${webhook.id}/deliveries/${id}/repeat`)).status).toBe(204);
    await expect.poll(() => at("/away").length, { timeout: 10_000 }).toBe(3);
    expect((await target.rest("POST", `/webhooks/${webhook.id}/deliveries/999999/repeat`)).status).toBe(404);
    await end(webhook.id);
  });

  it("fail after the last try", async () => {
    statuses.set("/never", 500);
    const webhook = await cancel("/never");
    await expect.poll(async () => (await deliveries(webhook.id))[0]?.tries.length).toBe(1);
    await client.query("update webhook_deliveries set tries = 9, visible_at = airlock_now() where webhook = $1", [
      webhook.id,
    ]);
    await expect.poll(async () => (await deliveries(webhook.id))[0]?.state, { timeout: 10_000 }).toBe("failed");
    expect((await deliveries(webhook.id))[0]?.nextTryAt).toBeNull();
    await end(webhook.id);
  });

  it("follow no redirects, and end when the receiver is gone", async () => {
    statuses.set("/moved", 302).set("/gone", 410);
    const moved = await cancel("/moved");
    await expect.poll(async () => (await deliveries(moved.id))[0]?.tries[0]?.status).toBe(302);
    expect(at("/elsewhere")).toEqual([]);
    await end(moved.id);
    const gone = await cancel("/gone");
    await expect.poll(async () => (await deliveries(gone.id))[0]?.state).toBe("failed");
    const list = WebhookList.parse(await (await target.rest("GET", "/webhooks?namespace=team")).json());
    expect(list.webhooks).toMatchObject([{ id: gone.id, enabled: false }]);
    await end(gone.id);
  });

  it("end with their organization, and need one", async () => {
    await target.rest("POST", "/organizations", { name: "short-lived" });
    const webhook = await create("/x", { namespace: "short-lived" });
    expect((await target.rest("DELETE", "/organizations/short-lived")).status).toBe(204);
    expect((await target.rest("GET", `/webhooks/${webhook.id}/deliveries`)).status).toBe(404);
    for (const namespace of ["short-lived", "never-there"]) {
      const refused = await target.rest("POST", "/webhooks", { namespace, name: "x", url: `${receiver}/x` });
      expect(ApiError.parse(await refused.json()).error.code).toBe("unknown-namespace");
    }
  });

  it("are listed page by page, changed, and limited in number", async () => {
    const webhooks = [];
    for (let count = 0; count < 20; count += 1) webhooks.push(await create("/many", { events: ["job.errored"] }));
    const refused = await target.rest("POST", "/webhooks", { namespace: "team", name: "x", url: `${receiver}/many` });
    expect([refused.status, ApiError.parse(await refused.json()).error.code]).toEqual([409, "too-many-webhooks"]);
    const ids: number[] = [];
    for (let after: number | null = 0; after !== null; ) {
      const query = `limit=7${after === 0 ? "" : `&after=${after}`}`;
      const page = WebhookList.parse(await (await target.rest("GET", `/webhooks?${query}`)).json());
      ids.push(...page.webhooks.map(({ id }) => id));
      expect(JSON.stringify(page)).not.toContain("whsec_");
      after = page.next;
    }
    expect(ids).toEqual(webhooks.map(({ id }) => id));
    const [first] = webhooks;
    const changed = await target.rest("PATCH", `/webhooks/${first?.id}`, { enabled: false, name: "renamed" });
    expect(await changed.json()).toMatchObject({ enabled: false, name: "renamed", url: `${receiver}/many` });
    for (const { id } of webhooks) await end(id);
    expect((await target.rest("GET", `/webhooks/${first?.id}/deliveries`)).status).toBe(404);
  });

  it.each([
    "http://hooks.example.com/",
    "https://127.0.0.1/",
    "https://127.1/",
    "https://2130706433/",
    "https://0x7f.1/",
    "https://[::1]/",
    "https://[::ffff:10.0.0.1]/",
    "https://[fd00::1]/",
    "https://[64:ff9b::a00:1]/",
    "https://169.254.169.254/latest/meta-data",
    "https://localhost/",
    "https://metadata.google.internal/",
    "https://intranet/",
    "http://127.0.0.1:1/",
  ])("refuse the address %s", async (url) => {
    const webhook = await create("/x", { events: ["job.errored"] });
    for (const response of [
      await target.rest("POST", "/webhooks", { namespace: "team", name: "x", url }),
      await target.rest("PATCH", `/webhooks/${webhook.id}`, { url }),
    ]) {
      expect([response.status, ApiError.parse(await response.json()).error.code]).toEqual([
        422,
        "webhook-address-refused",
      ]);
    }
    await end(webhook.id);
  });

  it.each(["https://ann:secret@hooks.example.com/", "ftp://hooks.example.com/", "https://hooks.example.com/#a", "x"])(
    "need an address without credentials and fragment, not %s",
    async (url) => {
      const response = await target.rest("POST", "/webhooks", { namespace: "team", name: "x", url });
      expect(response.status).toBe(400);
    },
  );

  it("send nothing to a name that resolves to a private address", async () => {
    const { port } = server.address() as AddressInfo;
    const toLoopback = ((_name: string, _options: object, callback: (error: null, found: object[]) => void) =>
      callback(null, [
        { address: "93.184.215.14", family: 4 },
        { address: "127.0.0.1", family: 4 },
      ])) as unknown as typeof lookup;
    await using connections = new WebhookConnections({
      proxies: noProxies,
      allowedHosts: [],
      timeoutMs: 5000,
      lookup: toLoopback,
    });
    const before = received.length;
    const url = new URL(`https://hooks.example.com:${port}/`);
    expect(await connections.send(url, {}, "{}", new AbortController().signal)).toEqual({
      status: null,
      error: "hooks.example.com resolves to the private address 127.0.0.1",
    });
    expect(received.length).toBe(before);
  });
});

describe("public addresses", () => {
  it.each([
    ["93.184.215.14", true],
    ["2606:2800:21f:cb07:6820:80da:af6b:8b2c", true],
    ["10.1.2.3", false],
    ["100.64.0.1", false],
    ["172.31.255.255", false],
    ["224.0.0.1", false],
    ["255.255.255.255", false],
    ["::", false],
    ["::ffff:93.184.215.14", false],
    ["fe80::1", false],
    ["ff02::1", false],
    ["2002:a00:1::", false],
    ["2001:db8::1", false],
    ["not an address", false],
  ])("%s: %s", (address, expected) => {
    expect(isPublicAddress(address)).toBe(expected);
  });
});
