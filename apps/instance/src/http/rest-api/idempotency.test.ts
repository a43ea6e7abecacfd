import { ApiError, CreatedAccessToken, CreatedWebhook, QueueView } from "@airlock/api";
import { createDatabase, describeWithEngines, engines } from "@airlock/test-kit";
import pg from "pg";
import { afterAll, beforeAll, expect, it } from "vitest";
import { requestAsPage } from "../../testing/audit-requests.ts";
import { signedInUser } from "../../testing/sign-in.ts";
import { tablesWithText } from "../../testing/tables-with-text.ts";
import { startTestInstance, type TestInstance } from "../../testing/test-instance.ts";

describeWithEngines(["postgres"], "requests with an Idempotency-Key", () => {
  let target: TestInstance;
  let client: pg.Client;
  let ann: string;
  let ben: string;
  beforeAll(async () => {
    const secretKeys = { kind: "text", text: Buffer.alloc(32, 1).toString("base64") } as const;
    target = await startTestInstance(await createDatabase(engines().postgres?.url ?? ""), { secretKeys });
    client = new pg.Client({ connectionString: target.instance.databaseUrl });
    await client.connect();
    ann = await signedInUser(target, "ann");
    ben = await signedInUser(target, "ben");
    await target.rest("POST", "/organizations", { name: "team" });
    await target.rest("PUT", "/organizations/team/members/ann", { role: "owner" });
  });
  afterAll(async () => {
    await client?.end();
    await target?.[Symbol.asyncDispose]();
  });

  const page = (cookie: string, path: string, body: object, key: string) =>
    requestAsPage(target, { method: "POST", path, cookie, body, headers: { "idempotency-key": key } });
  const rest = (path: string, body: object | undefined, key: string) =>
    target.rest("POST", path, body, { "idempotency-key": key });
  const codeOf = async (response: Response) => ApiError.parse(await response.json()).error.code;

  it("create something once, and get the first answer again", async () => {
    const body = { name: "ci", scopes: ["read"], expiresAt: null };
    const first = await page(ann, "/account/tokens", body, "k");
    const again = await page(ann, "/account/tokens", body, "k");
    expect([first.status, again.status]).toEqual([201, 201]);
    expect([first.headers.get("idempotency-replayed"), again.headers.get("idempotency-replayed")]).toEqual([
      null,
      "true",
    ]);
    const created = CreatedAccessToken.parse(await first.json());
    expect(await again.json()).toEqual(created);
    const list = await requestAsPage(target, { method: "GET", path: "/account/tokens", cookie: ann });
    expect(((await list.json()) as { tokens: object[] }).tokens.length).toBe(1);
    expect(await tablesWithText(target.instance.databaseUrl, [created.token])).toEqual([]);

    expect(await codeOf(await page(ann, "/account/tokens", { ...body, name: "other" }, "k"))).toBe(
      "idempotency-conflict",
    );
    // The key of another sender, or of another route, is another key.
    const others = CreatedAccessToken.parse(await (await page(ben, "/account/tokens", body, "k")).json());
    expect(others.token).not.toBe(created.token);
    expect((await rest("/queues", { name: "of-key" }, "k")).status).toBe(201);
  });

  it("create something once when they arrive at the same time", async () => {
    const answers = await Promise.all([1, 2, 3, 4].map(() => rest("/queues", { name: "racing" }, "race")));
    const statuses = answers.map(({ status }) => status);
    expect(statuses.filter((status) => ![201, 409].includes(status))).toEqual([]);
    const refused = answers.filter(({ status }) => status === 409);
    for (const answer of refused) expect(await codeOf(answer)).toBe("idempotency-pending");
    expect(QueueView.parse(await (await rest("/queues", { name: "racing" }, "race")).json()).name).toBe("racing");
  });

  it("may be repeated after a failure, and after a crash", async () => {
    expect(await codeOf(await rest("/queues", { name: "default" }, "failing"))).toBe("queue-exists");
    expect((await rest("/queues", { name: "after-failure" }, "failing")).status).toBe(201);
    const crash = () => client.query("update idempotency_keys set status = null, sealed = null");
    await crash();
    expect(await codeOf(await rest("/queues", { name: "after-failure" }, "failing"))).toBe("idempotency-pending");
    await client.query("update idempotency_keys set lease_expires_at = airlock_now() - interval '1 second'");
    // The queue exists by now, which the second attempt finds.
    expect(await codeOf(await rest("/queues", { name: "after-failure" }, "failing"))).toBe("queue-exists");
  });

  it("get no answer again that the sender may not see any more", async () => {
    const body = { namespace: "team", name: "chat", url: "https://hooks.example.com/", events: ["job.errored"] };
    const first = CreatedWebhook.parse(await (await page(ann, "/webhooks", body, "w")).json());
    const again = await page(ann, "/webhooks", body, "w");
    expect(await again.json()).toEqual(first);
    await target.rest("DELETE", "/organizations/team/members/ann");
    const refused = await page(ann, "/webhooks", body, "w");
    expect(refused.status).toBeGreaterThanOrEqual(400);
    expect(await refused.text()).not.toContain("whsec_");
  });

  it("are described for every route that creates something for a sender with credentials", async () => {
    const document = (await (await fetch(`${target.url}/api/v1/openapi.json`)).json()) as {
      paths: Record<string, { post?: Operation }>;
    };
    const lacking = Object.entries(document.paths).flatMap(([path, { post }]) =>
      post?.responses["201"] &&
      post.security?.length !== 0 &&
      // The first administrator can be created only once.
      path !== "/api/v1/setup" &&
      !post.parameters?.some(({ name }) => name === "idempotency-key")
        ? [path]
        : [],
    );
    expect(lacking).toEqual([]);
  });

  it("need a key of 1 to 255 characters", async () => {
    expect(await codeOf(await rest("/queues", { name: "long" }, "k".repeat(256)))).toBe("invalid-request");
  });
});

interface Operation {
  readonly responses: Record<string, object>;
  readonly security?: readonly object[];
  readonly parameters?: readonly { readonly name: string }[];
}
