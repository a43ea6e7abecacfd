import { AuditEntryView, AuditPage } from "@airlock/api";
import { createDatabase, describeWithEngines, engines } from "@airlock/test-kit";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { routeRules } from "../../access/route-rules.ts";
import { forgetOldEntries, recordAudit } from "../../audit/audit-log.ts";
import { openDatabase } from "../../store/database.ts";
import { readAuditLog, requestAsPage } from "../../testing/audit-requests.ts";
import { signedInUser } from "../../testing/sign-in.ts";
import { startTestInstance, type TestInstance } from "../../testing/test-instance.ts";
import { RefusalLog } from "../shared/refusal-log.ts";

describeWithEngines(["postgres"], "the audit log", () => {
  let target: TestInstance;
  let client: pg.Client;
  const stack = new AsyncDisposableStack();
  beforeAll(async () => {
    target = stack.use(
      await startTestInstance(await createDatabase(engines().postgres?.url ?? ""), { trustedProxies: ["127.0.0.1"] }),
    );
    client = new pg.Client({ connectionString: target.instance.databaseUrl });
    await client.connect();
  });
  afterAll(async () => {
    await client?.end();
    await stack.disposeAsync();
  });

  const page = (
    method: string,
    path: string,
    cookie: string,
    body?: object,
    headers?: Record<string, string>,
  ): Promise<Response> => requestAsPage(target, { method, path, cookie, body, headers });
  const read = (query?: string, headers?: Record<string, string>) => readAuditLog(target, query, headers);
  const newestId = async () => (await read())[0]?.id ?? 0;

  describe("of refused requests", () => {
    const from = (address: string) => ({ "x-forwarded-for": address });
    const signIn = (name: string, address: string, password = "wrong") =>
      page("POST", "/sign-in", "", { name, password }, from(address));

    it("names the account, and never what was typed instead of one", async () => {
      await signedInUser(target, "dora");
      await signIn("dora", "192.0.2.1");
      await signIn("typed-my-password", "192.0.2.2");
      const entries = await read("&action=session.refused");
      expect(entries.slice(0, 2)).toMatchObject([
        {
          actor: "",
          via: "none",
          address: "192.0.2.2",
          namespace: null,
          target: null,
          details: { code: "sign-in-failed" },
        },
        { actor: "", address: "192.0.2.1", namespace: "dora", target: { kind: "user", name: "dora" } },
      ]);
      const { rows } = await client.query("select * from audit_log");
      expect(JSON.stringify(rows)).not.toContain("typed-my-password");
    });

    it("has the first of many, so that a stranger can't fill it", async () => {
      const before = await newestId();
      for (let time = 0; time < 12; time += 1) await signIn("dora", "192.0.2.3");
      for (let time = 0; time < 30; time += 1) {
        const headers = { authorization: `Bearer ${"x".repeat(100 + time)}`, ...from("192.0.2.4") };
        expect((await target.rest("GET", "/jobs", undefined, headers)).status).toBe(401);
      }
      const added = async () => {
        const entries = (await read()).filter(({ id }) => id > before);
        return entries.map(({ action, details }) => `${action} ${String(details.code)}`).sort();
      };
      // A refused request is recorded after its answer.
      await expect
        .poll(added)
        .toEqual(["request.refused 401", "session.refused sign-in-failed", "session.refused too-many-attempts"]);
    });

    it("has a count of the others, and one window for what too many networks do", async () => {
      const db = await openDatabase({ url: target.instance.databaseUrl, maxConnections: 1 });
      stack.defer(() => db.destroy());
      let now = 0;
      const refusals = new RefusalLog(db, () => now);
      const record = (address: string) =>
        refusals.record(
          { actor: "", via: "none", credential: null, address },
          { action: "session.refused", details: { code: "count" } },
        );
      const codes = async () =>
        (await read("&action=session.refused")).filter(({ details }) => details.code === "count");
      for (let time = 0; time < 5; time += 1) await record("192.0.2.9");
      await refusals.sweep();
      expect((await codes()).map(({ details }) => details.repeated)).toEqual([undefined]);
      now += 11 * 60_000;
      await refusals.sweep();
      await record("192.0.2.9");
      expect((await codes()).map(({ details }) => details.repeated)).toEqual([undefined, 4, undefined]);
      for (let network = 0; network < 1100; network += 1) await record(`10.0.${network >> 8}.${network & 255}`);
      const { rows } = await client.query("select count(*)::int as count from audit_log where address like '10.0.%'");
      // 999 networks, and one entry for all others.
      expect(rows).toEqual([{ count: 1000 }]);
      now += 11 * 60_000;
      await refusals.sweep();
      expect((await codes())[0]?.details.repeated).toBe(100);
    });

    it("names the user who may not do something, and the route", async () => {
      const eve = await signedInUser(target, "eve");
      expect((await page("POST", "/queues", eve, { name: "mine" })).status).toBe(403);
      const wrong = await page("POST", "/session", "", { token: "not the token" });
      expect(wrong.status).toBe(401);
      await expect
        .poll(() => read("&action=request.refused&actor=eve"))
        .toMatchObject([{ via: "session", details: { code: "403", route: "POST /api/v1/queues" } }]);
      const [newest] = await read("&action=session");
      expect(newest).toMatchObject({ action: "session.refused", details: { with: "administrator's token" } });
    });
  });

  it("shows owners what is about them, without the addresses of others", async () => {
    const fay = await signedInUser(target, "fay");
    await target.rest("POST", "/organizations", { name: "guild" });
    await target.rest("PUT", "/organizations/guild/members/fay", { role: "owner" });
    await target.rest("POST", "/organizations", { name: "others" });
    const list = AuditPage.parse(await (await page("GET", "/audit?limit=200", fay)).json()).entries;
    expect(new Set(list.map(({ namespace }) => namespace))).toEqual(new Set(["fay", "guild"]));
    expect(list).toContainEqual(
      expect.objectContaining({ action: "member.set", actor: "administrator", address: null, credential: null }),
    );
    expect(list).toContainEqual(
      expect.objectContaining({ action: "session.begun", actor: "fay", address: "127.0.0.1" }),
    );
    // A filter for what is hidden finds nothing, and says nothing.
    const other = await page("GET", "/audit?namespace=others", fay);
    expect(AuditPage.parse(await other.json()).entries).toEqual([]);
    const text = await (await page("GET", "/audit/export", fay)).text();
    expect(text).not.toMatch(/others|192\.0\.2/);
    await target.rest("PUT", "/organizations/guild/members/fay", { role: "member" });
    const later = AuditPage.parse(await (await page("GET", "/audit?limit=200", fay)).json()).entries;
    expect(later.map(({ namespace }) => namespace)).not.toContain("guild");
  });

  it("pages and filters, and names a wrong filter", async () => {
    const first = AuditPage.parse(await (await target.rest("GET", "/audit?limit=3")).json());
    const second = AuditPage.parse(await (await target.rest("GET", `/audit?limit=3&before=${first.next}`)).json());
    expect([...first.entries, ...second.entries].map(({ id }) => id)).toEqual(
      (await read()).slice(0, 6).map(({ id }) => id),
    );
    const until = first.entries[1]?.at ?? "";
    expect(Date.parse((await read(`&until=${until}`))[0]?.at ?? "")).toBeLessThan(Date.parse(until));
    for (const { at } of await read(`&since=${until}`)) {
      expect(Date.parse(at)).toBeGreaterThanOrEqual(Date.parse(until));
    }
    expect(await read(`&since=2999-01-01T00:00:00Z`)).toEqual([]);
    for (const [query, field] of [
      ["action=secret.stolen", "action"],
      ["action=s", "action"],
      ["since=yesterday", "since"],
      ["before=0", "before"],
      ["limit=201", "limit"],
      ["nonsense=1", "nonsense"],
      ["actor=%00", "actor"],
    ]) {
      const response = await target.rest("GET", `/audit?${query}`);
      expect(response.status, query).toBe(400);
      expect(await response.text()).toContain(field);
    }
  });

  it("keeps hostile text harmless and short", async () => {
    const hostile = `\u0000\u001b[2J\u202e${"x".repeat(100_000)}\ud800\r\n{"id":1}`;
    const cookie = await signedInUser(target, "gil");
    const db = await openDatabase({ url: target.instance.databaseUrl, maxConnections: 1 });
    stack.defer(() => db.destroy());
    await recordAudit(db, { actor: hostile, via: "none", credential: null, address: null }, [
      {
        action: "session.begun",
        namespace: "gil",
        target: { kind: "user", name: hostile },
        details: { userAgent: hostile, list: Array.from({ length: 1000 }, () => hostile) },
      },
      { action: "session.ended", namespace: "gil", details: { userAgent: hostile } },
    ]);
    const text = await (await page("GET", "/audit/export?namespace=gil&action=session", cookie)).text();
    // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not come through.
    expect(text).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u202e]/);
    const lines = text
      .trimEnd()
      .split("\n")
      .map((line) => AuditEntryView.parse(JSON.parse(line)));
    expect(lines.slice(-2).map(({ details }) => details)).toMatchObject([
      { omitted: expect.stringMatching(/characters$/) as string },
      { userAgent: `\ufffd${hostile.slice(1, 300)}…` },
    ]);
    expect(text.length).toBeLessThan(10_000);
  });

  it("can't be changed: the database refuses it, except for the retention", async () => {
    const before = (await client.query("select count(*)::int as count from audit_log")).rows[0];
    for (const statement of [
      "update audit_log set actor = 'eve'",
      "delete from audit_log",
      "truncate audit_log",
      "begin; set local airlock.audit_retention = 'on'; update audit_log set actor = 'eve'; commit",
      "begin; set local airlock.audit_retention = 'on'; truncate audit_log; commit",
    ]) {
      await expect(client.query(statement), statement).rejects.toThrow("the audit log can only be added to");
      await client.query("rollback");
    }
    expect((await client.query("select count(*)::int as count from audit_log")).rows[0]).toEqual(before);
    // No route of the log changes it.
    expect(Object.keys(routeRules).filter((route) => route.includes("/audit") && !route.startsWith("GET"))).toEqual([]);
  });

  it("deletes entries past their retention, and only those", async () => {
    const db = await openDatabase({ url: target.instance.databaseUrl, maxConnections: 1 });
    stack.defer(() => db.destroy());
    await client.query(
      "insert into audit_log (at, action, actor, via) select now() - interval '10 days', 'job.retried', 'old', 'none' from generate_series(1, 1500)",
    );
    const lines = (await (await target.rest("GET", "/audit/export?actor=old")).text()).trimEnd().split("\n");
    const ids = lines.map((line) => AuditEntryView.parse(JSON.parse(line)).id);
    expect(ids).toEqual([...new Set(ids)].sort((a, b) => a - b));
    expect(ids.length).toBe(1500);
    const kept = await client.query("select count(*)::int as count from audit_log where actor <> 'old'");
    const { signal } = new AbortController();
    await forgetOldEntries(db, null, signal);
    await forgetOldEntries(db, 11 * 86_400_000, signal);
    expect((await read("&actor=old")).length).toBe(200);
    await forgetOldEntries(db, 9 * 86_400_000, signal);
    const { rows } = await client.query("select count(*)::int as count from audit_log");
    expect(rows).toEqual(kept.rows);
  });

  it("stores a change and its entry together, or neither", async () => {
    await client.query(
      "alter table audit_log add constraint broken check (action <> 'organization.created') not valid",
    );
    try {
      expect((await target.rest("POST", "/organizations", { name: "unrecorded" })).status).toBe(500);
    } finally {
      await client.query("alter table audit_log drop constraint broken");
    }
    expect((await target.rest("GET", "/organizations/unrecorded")).status).toBe(404);
  });
});
