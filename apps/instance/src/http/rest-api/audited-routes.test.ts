import { type AuditEntryView, AuditPage } from "@airlock/api";
import { createDatabase, describeWithEngines, engines, makeRepository, temporaryDirectory } from "@airlock/test-kit";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { routeRules } from "../../access/route-rules.ts";
import { readAuditLog, requestAsPage } from "../../testing/audit-requests.ts";
import { cookieOf, signedInUser, testPassword } from "../../testing/sign-in.ts";
import { jobHeaders, startTestInstance, type TakenJob, type TestInstance } from "../../testing/test-instance.ts";

describeWithEngines(["postgres"], "the audit log of changes", () => {
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

  describe("has an entry", () => {
    let ann: string;
    let token: string;
    let job: TakenJob;
    let artifact: number;
    let path: string;
    let executorToken: number;
    let webhook: number;
    let login = { code: "", secret: "", confirmationCode: "" };
    const beginLogin = async () => {
      const begun = await page("POST", "/command-line-logins", "", { host: "laptop" });
      return { ...((await begun.json()) as typeof login), confirmationCode: "" };
    };
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
        route: "POST /api/v1/account/command-line-logins/:code",
        async send() {
          login = await beginLogin();
          const answer = await asAnn("POST", `/account/command-line-logins/${login.code}`, {
            name: "laptop",
            scopes: ["read"],
            expiresAt: null,
          });
          login.confirmationCode = ((await answer.clone().json()) as typeof login).confirmationCode;
          return answer;
        },
        entry: { action: "command-line.confirmed", actor: "ann", namespace: "ann" },
      },
      {
        route: "POST /api/v1/command-line-logins/token",
        send: () =>
          page("POST", "/command-line-logins/token", "", {
            secret: login.secret,
            confirmationCode: login.confirmationCode,
          }),
        entry: { action: "access-token.created", actor: "ann", via: "confirmation-code", namespace: "ann" },
      },
      {
        route: "DELETE /api/v1/account/command-line-logins/:code",
        async send() {
          const { code } = await beginLogin();
          return asAnn("DELETE", `/account/command-line-logins/${code}`);
        },
        entry: { action: "command-line.refused", actor: "ann", namespace: "ann" },
      },
      {
        // Nobody has proved anything yet.
        route: "POST /api/v1/command-line-logins",
        send: () => page("POST", "/command-line-logins", "", { host: "laptop" }),
        entry: {},
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
        route: "DELETE /api/v1/organizations/:name",
        async send() {
          await target.rest("POST", "/organizations", { name: "spare" });
          return asAnn("DELETE", "/organizations/spare");
        },
        entry: { action: "organization.deleted", namespace: "spare", details: { members: 0 } },
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
        route: "DELETE /api/v1/queues/:name",
        async send() {
          await asToken("POST", "/queues", { name: "short-lived" });
          return asToken("DELETE", "/queues/short-lived");
        },
        entry: { action: "queue.deleted", target: { kind: "queue", name: "short-lived" } },
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
        route: "POST /api/v1/executors/:name/pause",
        send: () => asToken("POST", "/executors/rack-1/pause"),
        entry: { action: "executor.paused", target: { kind: "executor", name: "rack-1" } },
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
        route: "POST /api/v1/webhooks",
        async send() {
          const body = { namespace: name, name: "chat", url: "https://192.0.2.7.example.com/", events: ["job.queued"] };
          const response = await asToken("POST", "/webhooks", body);
          webhook = ((await response.clone().json()) as { id: number }).id;
          await client.query(
            "insert into webhook_deliveries (webhook, job, event, body) values ($1, 1, 'job.queued', '{}')",
            [webhook],
          );
          return response;
        },
        entry: { action: "webhook.created", actor: "ann", namespace: name },
      },
      {
        route: "PATCH /api/v1/webhooks/:id",
        send: () => asToken("PATCH", `/webhooks/${webhook}`, { enabled: false }),
        entry: { action: "webhook.changed", namespace: name, details: { enabled: false } },
      },
      {
        route: "POST /api/v1/webhooks/:id/deliveries/:delivery/repeat",
        async send() {
          const list = await asToken("GET", `/webhooks/${webhook}/deliveries`);
          const { deliveries } = (await list.json()) as { deliveries: { id: number }[] };
          return asToken("POST", `/webhooks/${webhook}/deliveries/${deliveries[0]?.id}/repeat`);
        },
        entry: { action: "webhook.delivery-repeated", namespace: name },
      },
      {
        route: "DELETE /api/v1/webhooks/:id",
        send: () => asToken("DELETE", `/webhooks/${webhook}`),
        entry: { action: "webhook.deleted", namespace: name },
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
});
