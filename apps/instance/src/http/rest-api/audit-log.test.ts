import { AuditEntryView, AuditPage } from "@airlock/api";
import { createDatabase, describeWithEngines, engines, makeRepository, temporaryDirectory } from "@airlock/test-kit";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { routeRules } from "../../access/route-rules.ts";
import { forgetOldEntries, recordAudit } from "../../audit/audit-log.ts";
import { openDatabase } from "../../store/database.ts";
import { cookieOf, signedInUser, testPassword } from "../../testing/sign-in.ts";
import { jobHeaders, startTestInstance, type TakenJob, type TestInstance } from "../../testing/test-instance.ts";

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

  async function page(
    method: string,
    path: string,
    cookie: string,
    body?: object,
    headers: Record<string, string> = {},
  ): Promise<Response> {
    return fetch(`${target.url}/api/v1${path}`, {
      method,
      headers: {
        "sec-fetch-site": "same-origin",
        ...(cookie === "" ? {} : { cookie }),
        ...(body === undefined ? {} : { "content-type": "application/json" }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
  }
  async function read(query = "", headers: Record<string, string> = {}): Promise<AuditEntryView[]> {
    const response = await target.rest("GET", `/audit?limit=200${query}`, undefined, headers);
    expect(response.status).toBe(200);
    return AuditPage.parse(await response.json()).entries;
  }
  const newestId = async () => (await read())[0]?.id ?? 0;

  describe("has an entry", () => {
    let ann: string;
    let token: string;
    let job: TakenJob;
    let artifact: number;
    let path: string;
    let executorToken: number;
    const name = "ledger";

    beforeAll(async () => {
      ann = await signedInUser(target, "ann", "administrator");
      const directory = stack.use(await temporaryDirectory());
      path = (
        await makeRepository(`${directory.path}/a.git`, [{ message: "One", files: [{ path: "a", content: "" }] }])
      ).path;
      await signedInUser(target, "ben");
    });

    const asAnn = (method: string, route: string, body?: object) => page(method, route, ann, body);
    const asToken = (method: string, route: string, body?: object) =>
      target.rest(method, route, body, { authorization: `Bearer ${token}` });

    /** Each route that changes something, in an order in which all succeed. */
    const changes: readonly {
      readonly route: string;
      readonly send: () => Promise<Response>;
      readonly entry: Partial<AuditEntryView>;
    }[] = [
      {
        route: "POST /api/v1/account/tokens",
        async send() {
          const scopes = ["read", "jobs", "administration", "secrets", "repositories"];
          const response = await asAnn("POST", "/account/tokens", { name: "mine", scopes, expiresAt: null });
          token = ((await response.clone().json()) as { token: string }).token;
          return response;
        },
        entry: { action: "access-token.created", actor: "ann", via: "session", namespace: "ann" },
      },
      {
        route: "POST /api/v1/organizations",
        send: () => asToken("POST", "/organizations", { name }),
        entry: { action: "organization.created", actor: "ann", via: "access-token", credential: "1", namespace: name },
      },
      {
        route: "PATCH /api/v1/organizations/:name",
        send: () => asAnn("PATCH", `/organizations/${name}`, { displayName: "Ledger" }),
        entry: { action: "organization.changed", namespace: name, details: { displayName: "Ledger" } },
      },
      {
        route: "PUT /api/v1/organizations/:name/members/:user",
        send: () => target.rest("PUT", `/organizations/${name}/members/ben`, { role: "owner" }),
        entry: {
          action: "member.set",
          actor: "administrator",
          via: "administrator-token",
          namespace: name,
          target: { kind: "user", name: "ben" },
          details: { role: "owner" },
        },
      },
      {
        route: "DELETE /api/v1/organizations/:name/members/:user",
        send: () => target.rest("DELETE", `/organizations/${name}/members/ben`),
        entry: { action: "member.removed", namespace: name, target: { kind: "user", name: "ben" } },
      },
      {
        route: "DELETE /api/v1/account/organizations/:name",
        async send() {
          await target.rest("PUT", `/organizations/${name}/members/ben`, { role: "viewer" });
          const signedIn = await page("POST", "/sign-in", "", { name: "ben", password: testPassword });
          return page("DELETE", `/account/organizations/${name}`, cookieOf(signedIn));
        },
        entry: { action: "member.removed", actor: "ben", namespace: name },
      },
      {
        route: "POST /api/v1/users",
        send: () => asAnn("POST", "/users", { name: "carl" }),
        entry: { action: "user.created", namespace: "carl", details: { role: "member" } },
      },
      {
        route: "PATCH /api/v1/users/:name",
        send: () => asAnn("PATCH", "/users/carl", { disabled: true }),
        entry: { action: "user.changed", namespace: "carl", details: { disabled: true } },
      },
      {
        route: "POST /api/v1/users/:name/password-link",
        send: () => asAnn("POST", "/users/carl/password-link"),
        entry: { action: "password.link-created", namespace: "carl", actor: "ann" },
      },
      {
        route: "POST /api/v1/password",
        async send() {
          const link = await target.rest("POST", "/users/ben/password-link");
          const { token: once } = (await link.json()) as { token: string };
          return page("POST", "/password", "", { token: once, password: testPassword });
        },
        entry: { action: "password.link-used", actor: "ben", via: "password-link", namespace: "ben" },
      },
      {
        route: "POST /api/v1/queues",
        send: () => asToken("POST", "/queues", { name }),
        entry: { action: "queue.created", target: { kind: "queue", name } },
      },
      {
        route: "PATCH /api/v1/queues/:name",
        send: () => asToken("PATCH", `/queues/${name}`, { weight: 7 }),
        entry: { action: "queue.changed", details: { weight: 7 } },
      },
      {
        route: "POST /api/v1/repositories",
        send: () => asToken("POST", "/repositories", { name, url: path, organizations: [name] }),
        entry: { action: "repository.added", target: { kind: "repository", name } },
      },
      {
        route: "PATCH /api/v1/repositories/:name",
        send: () => asToken("PATCH", `/repositories/${name}`, { organizations: null }),
        entry: { action: "repository.changed", details: { organizations: null } },
      },
      {
        route: "POST /api/v1/repositories/:name/refresh",
        send: () => asToken("POST", `/repositories/${name}/refresh`),
        entry: { action: "repository.refreshed", target: { kind: "repository", name } },
      },
      {
        route: "DELETE /api/v1/repositories/:name",
        send: () => asToken("DELETE", `/repositories/${name}`),
        entry: { action: "repository.removed", target: { kind: "repository", name } },
      },
      {
        route: "PUT /api/v1/secrets/:name",
        send: () => asToken("PUT", "/secrets/LEDGER", { namespace: name, value: "the secret's value" }),
        entry: { action: "secret.created", namespace: name, target: { kind: "secret", name: "LEDGER" } },
      },
      {
        route: "PUT /api/v1/secrets/:name",
        send: () => asAnn("PUT", "/secrets/LEDGER", { namespace: name, value: "another secret value" }),
        entry: { action: "secret.changed", namespace: name, via: "session" },
      },
      {
        route: "POST /api/v1/secrets/rotate",
        send: () => asToken("POST", "/secrets/rotate"),
        entry: { action: "secret.keys-rotated" },
      },
      {
        route: "POST /api/v1/executor-tokens",
        async send() {
          const response = await asAnn("POST", "/executor-tokens", { name: "rack", queue: name });
          executorToken = ((await response.clone().json()) as { id: number }).id;
          return response;
        },
        entry: { action: "executor-token.created", details: { name: "rack", queue: name } },
      },
      {
        route: "POST /api/v1/executor-tokens/:id/rotate",
        send: () => asAnn("POST", `/executor-tokens/${executorToken}/rotate`, {}),
        entry: { action: "executor-token.rotated" },
      },
      {
        route: "DELETE /api/v1/executor-tokens/:id",
        send: () => asAnn("DELETE", `/executor-tokens/${executorToken}`),
        entry: { action: "executor-token.revoked" },
      },
      {
        route: "POST /api/v1/jobs",
        send: () =>
          asToken("POST", "/jobs", {
            namespace: name,
            queue: name,
            steps: [{ key: "main", image: "alpine", run: "true", secrets: ["LEDGER"] }],
          }),
        entry: { action: "job.submitted", actor: "ann", namespace: name, job: 1 },
      },
      {
        route: "POST /.executors/queue/:queue/dequeue",
        async send() {
          const taken = await target.executor(`queue/${name}/dequeue`, { executorName: "rack-1", version: "6.0.0" });
          job = (await taken.clone().json()) as TakenJob;
          return taken;
        },
        entry: {
          action: "secret.used",
          actor: "rack-1",
          via: "shared-secret",
          namespace: name,
          job: 1,
          target: { kind: "secret", name: "LEDGER" },
        },
      },
      {
        route: "GET /api/v1/jobs/:id/artifacts/:artifactId",
        async send() {
          const stored = await fetch(`${target.url}/.executors/queue/${name}/artifacts?attempt=1&name=out&kind=diff`, {
            method: "PUT",
            headers: { ...jobHeaders(job, "rack-1"), "content-type": "application/octet-stream" },
            body: "diff",
          });
          expect(stored.status, await stored.clone().text()).toBeLessThan(300);
          const list = await target.rest("GET", "/jobs/1/artifacts");
          artifact = ((await list.json()) as { artifacts: { id: number }[] }).artifacts[0]?.id ?? 0;
          return asToken("GET", `/jobs/1/artifacts/${artifact}`);
        },
        entry: { action: "artifact.downloaded", job: 1, namespace: name, target: { kind: "artifact", name: "out" } },
      },
      {
        route: "POST /api/v1/executors/:name/drain",
        async send() {
          await target.executor(`queue/${name}/heartbeat`, { executorName: "rack-1", jobIds: [1], version: "6.0.0" });
          return asToken("POST", "/executors/rack-1/drain");
        },
        entry: { action: "executor.drained", target: { kind: "executor", name: "rack-1" } },
      },
      {
        route: "POST /api/v1/executors/:name/resume",
        send: () => asToken("POST", "/executors/rack-1/resume"),
        entry: { action: "executor.resumed", target: { kind: "executor", name: "rack-1" } },
      },
      {
        route: "POST /api/v1/jobs/:id/cancel",
        async send() {
          const answer = await asToken("POST", "/jobs/1/cancel");
          await target.executor(
            `queue/${name}/markFailed`,
            { executorName: "rack-1", jobId: 1, errorMessage: "" },
            jobHeaders(job, "rack-1"),
          );
          return answer;
        },
        entry: { action: "job.canceled", job: 1, namespace: name },
      },
      {
        route: "POST /api/v1/jobs/:id/retry",
        send: () => asToken("POST", "/jobs/1/retry"),
        entry: { action: "job.retried", job: 1, namespace: name },
      },
      {
        route: "DELETE /api/v1/secrets/:name",
        send: () => asToken("DELETE", `/secrets/LEDGER?namespace=${name}`),
        entry: { action: "secret.deleted", namespace: name },
      },
      {
        route: "GET /api/v1/audit/export",
        send: () => asToken("GET", "/audit/export?action=job"),
        entry: { action: "audit.exported", details: { action: "job" } },
      },
      {
        route: "DELETE /api/v1/users/:name/sessions/:id",
        async send() {
          await page("POST", "/sign-in", "", { name: "ben", password: testPassword });
          const list = (await (await asAnn("GET", "/users/ben/sessions")).json()) as { sessions: { id: number }[] };
          return asAnn("DELETE", `/users/ben/sessions/${list.sessions[0]?.id}`);
        },
        entry: { action: "session.ended", actor: "ann", via: "session", namespace: "ben" },
      },
      {
        route: "DELETE /api/v1/users/:name/tokens/:id",
        async send() {
          const ben = cookieOf(await page("POST", "/sign-in", "", { name: "ben", password: testPassword }));
          const body = { name: "of ben", scopes: ["read"], expiresAt: null };
          const { id } = (await (await page("POST", "/account/tokens", ben, body)).json()) as { id: number };
          return asAnn("DELETE", `/users/ben/tokens/${id}`);
        },
        entry: { action: "access-token.deleted", actor: "ann", namespace: "ben" },
      },
      {
        route: "DELETE /api/v1/account/tokens/:id",
        send: () => asAnn("DELETE", "/account/tokens/1"),
        entry: { action: "access-token.deleted", namespace: "ann", target: { kind: "access-token", name: "1" } },
      },
      {
        route: "DELETE /api/v1/account/sessions/:id",
        async send() {
          await page("POST", "/sign-in", "", { name: "ann", password: testPassword });
          const list = (await (await asAnn("GET", "/account/sessions")).json()) as {
            sessions: { id: number; current: boolean }[];
          };
          return asAnn("DELETE", `/account/sessions/${list.sessions.find(({ current }) => !current)?.id}`);
        },
        entry: { action: "session.ended", actor: "ann", namespace: "ann" },
      },
      {
        route: "DELETE /api/v1/account/sessions",
        send: () => asAnn("DELETE", "/account/sessions"),
        entry: { action: "session.ended", details: { all: true, except: expect.any(Number) as number } },
      },
      {
        route: "PUT /api/v1/account/password",
        async send() {
          const body = { currentPassword: testPassword, password: `${testPassword} again` };
          const response = await asAnn("PUT", "/account/password", body);
          ann = cookieOf(response);
          return response;
        },
        entry: { action: "session.begun", actor: "ann", via: "password" },
      },
      {
        route: "DELETE /api/v1/session",
        send: () => asAnn("DELETE", "/session"),
        entry: { action: "session.ended", actor: "ann", via: "session" },
      },
      {
        route: "POST /api/v1/sign-in",
        send: () => page("POST", "/sign-in", "", { name: "ann", password: `${testPassword} again` }),
        entry: {
          action: "session.begun",
          actor: "ann",
          via: "password",
          credential: expect.stringMatching(/^\d+$/) as string,
        },
      },
      {
        route: "POST /api/v1/session",
        send: () => page("POST", "/session", "", { token: target.instance.administratorToken }),
        entry: { action: "session.begun", actor: "administrator", via: "administrator-token", namespace: null },
      },
      {
        route: "POST /api/v1/setup",
        async send() {
          await using fresh = await startTestInstance(await createDatabase(engines().postgres?.url ?? ""));
          const body = { name: "first", password: testPassword };
          const response = await fresh.rest("POST", "/setup", body);
          const log = AuditPage.parse(await (await fresh.rest("GET", "/audit")).json());
          expect(log.entries).toMatchObject([
            { action: "session.begun", actor: "first" },
            { action: "user.created", actor: "administrator", via: "administrator-token", namespace: "first" },
          ]);
          return response;
        },
        entry: {},
      },
    ];

    it("for every route that changes something, with the one who did it", { timeout: 60_000 }, async () => {
      for (const { route, send, entry } of changes) {
        const before = await newestId();
        const response = await send();
        expect(response.status, `${route}: ${await response.clone().text()}`).toBeLessThan(300);
        const added = (await read()).filter(({ id }) => id > before);
        if (Object.keys(entry).length > 0) expect(added, route).toContainEqual(expect.objectContaining(entry));
        for (const { address } of added) expect(address).toMatch(/^127\.0\.0\.1$/);
      }
      const rows = await client.query("select * from audit_log");
      expect(JSON.stringify(rows.rows)).not.toMatch(/secret's value|another secret value|violet ladder|airlock_pat_/);
    });

    it("is tested for every route of the table", () => {
      // The test of sign-ins with a provider has its own, because this instance has no provider.
      const tested = new Set(changes.map(({ route }) => route));
      const missing = Object.keys(routeRules).filter(
        (route) =>
          /^(?:POST|PUT|PATCH|DELETE) \/api\/v1\//.test(route) && !tested.has(route) && !route.includes("/identit"),
      );
      expect(missing).toEqual([]);
    });
  });

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
      const added = (await read()).filter(({ id }) => id > before);
      expect(added.map(({ action, details }) => [action, details.code]).sort()).toEqual([
        ["request.refused", "401"],
        ["session.refused", "sign-in-failed"],
        ["session.refused", "too-many-attempts"],
      ]);
    });

    it("names the user who may not do something, and the route", async () => {
      const eve = await signedInUser(target, "eve");
      expect((await page("POST", "/queues", eve, { name: "mine" })).status).toBe(403);
      const wrong = await page("POST", "/session", "", { token: "not the token" });
      expect(wrong.status).toBe(401);
      expect(await read("&action=request.refused&actor=eve")).toMatchObject([
        { via: "session", details: { code: "403", route: "POST /api/v1/queues" } },
      ]);
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
    expect((await read(`&until=${until}`)).length).toBeLessThan((await read()).length);
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
