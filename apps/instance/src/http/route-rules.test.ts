import { mkdir, writeFile } from "node:fs/promises";
import path from "node:path";
import { CreatedExecutorToken, organizationRoles } from "@airlock/api";
import {
  createDatabase,
  describeWithEngines,
  engines,
  makeRepository,
  type TemporaryDirectory,
  temporaryDirectory,
} from "@airlock/test-kit";
import Fastify from "fastify";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Role, roles } from "../access/actor.ts";
import { reachOf } from "../access/permissions.ts";
import { type RuledRoute, routeRules } from "../access/route-rules.ts";
import { signedInUser } from "../testing/sign-in.ts";
import {
  jobHeaders,
  readEvents,
  startTestInstance,
  type TakenJob,
  type TestInstance,
} from "../testing/test-instance.ts";
import { ExecutorApiError } from "./executor-api/authenticate-executor.ts";
import { guard, requireRules } from "./shared/route-access.ts";

/** The things of the walking actors, or those of others. */
interface Walked {
  readonly namespace: string;
  readonly user: string;
  readonly queue: string;
  readonly repository: string;
  readonly commit: string;
  readonly executor: string;
  readonly job: TakenJob;
  readonly webhook: number;
}

describeWithEngines(["postgres"], "every route of the instance", () => {
  let directory: TemporaryDirectory;
  let target: TestInstance;
  let legacy: TestInstance;
  /** Cookie of a user who is an administrator. */
  let cookie: string;
  let own: Walked;
  let foreign: Walked;
  /** Executor token of the queue "own". */
  let queueToken: string;
  /** Cookies of users who have one role in the organization "own". */
  const users = new Map<Role, string>();

  async function newWebhook(namespace: string): Promise<number> {
    const body = { namespace, name: `of ${namespace}`, url: "https://hooks.example.com/", events: ["job.errored"] };
    const created = await target.rest("POST", "/webhooks", body);
    expect(created.status).toBe(201);
    return ((await created.json()) as { id: number }).id;
  }

  async function takeJob(name: string): Promise<Walked> {
    const repository = await makeRepository(`${directory.path}/${name}.git`, [
      { message: "One", files: [{ path: "a", content: name }] },
    ]);
    await target.rest("POST", "/organizations", { name });
    await target.rest("POST", "/repositories", { name, url: repository.path, organizations: [name] });
    // The test takes longer than a lease.
    await target.rest("POST", "/queues", { name, leaseMs: 3_600_000 });
    const set = await target.rest("PUT", `/secrets/OF_${name.toUpperCase()}`, { namespace: name, value: "secret" });
    expect(set.status).toBe(201);
    await target.submit({ namespace: name, queue: name, repository: name, files: { "a.txt": "a" } });
    const webhook = await newWebhook(name);
    const executor = `executor-${name}`;
    const taken = await target.executor(`queue/${name}/dequeue`, { executorName: executor, version: "6.0.0" });
    return {
      namespace: name,
      user: "guest",
      queue: name,
      repository: name,
      commit: repository.head,
      executor,
      webhook,
      job: (await taken.json()) as TakenJob,
    };
  }

  beforeAll(async () => {
    directory = await temporaryDirectory();
    const webDirectory = path.join(directory.path, "web");
    await mkdir(webDirectory);
    await writeFile(path.join(webDirectory, "index.html"), "<title>Airlock</title>");
    const secretKeys = { kind: "text", text: Buffer.alloc(32, 1).toString("base64") } as const;
    const database = await createDatabase(engines().postgres?.url ?? "");
    target = await startTestInstance(database, { webDirectory, secretKeys });
    legacy = await startTestInstance({ url: database.url }, { webDirectory, secretKeys, legacySharedSecret: true });
    own = await takeJob("own");
    foreign = await takeJob("foreign");
    const created = await target.rest("POST", "/executor-tokens", { name: "walker", queue: "own" });
    queueToken = CreatedExecutorToken.parse(await created.json()).token;
    cookie = await signedInUser(target, "the-administrator", "administrator");
    for (const role of organizationRoles) {
      users.set(role, await signedInUser(target, `the-${role}`));
      await target.rest("PUT", `/organizations/own/members/the-${role}`, { role });
    }
    await target.rest("POST", "/users", { name: "guest" });
    for (const { namespace } of [own, foreign]) {
      await target.rest("PUT", `/organizations/${namespace}/members/guest`, { role: "viewer" });
    }
  });
  afterAll(async () => {
    await legacy?.[Symbol.asyncDispose]();
    await target?.[Symbol.asyncDispose]();
    await directory?.[Symbol.asyncDispose]();
  });

  function credentialsOf(role: Role): readonly Readonly<Record<string, string>>[] {
    switch (role) {
      case "anonymous":
        return [{}];
      case "viewer":
      case "member":
      case "owner":
        return [{ cookie: users.get(role) ?? "", "sec-fetch-site": "same-origin" }];
      case "administrator":
        return [
          // The headers of a job, too: its routes look at them first.
          {
            ...jobHeaders(own.job, own.executor),
            authorization: `Bearer ${target.instance.administratorToken}`,
          },
        ];
      case "executor":
        return [{ authorization: `token-executor ${target.instance.executorToken}` }];
      case "queue-executor":
        return [{ authorization: `token-executor ${queueToken}` }];
      case "job":
        return [jobHeaders(own.job, own.executor)];
    }
  }

  /** Sends a real request about the job's things. Returns the status. */
  async function send(
    instance: TestInstance,
    route: RuledRoute,
    walked: Walked,
    headers: Readonly<Record<string, string>>,
  ): Promise<number> {
    const [method = "", template = ""] = route.split(" ");
    const isExecutors = template.startsWith("/.executors");
    const ofWebhook = method === "DELETE" ? () => newWebhook(walked.namespace) : async () => walked.webhook;
    const id = String(template.includes("/webhooks/:id") ? await ofWebhook() : walked.job.id);
    let url = template
      .replace(
        "/git/*",
        `/git/${walked.repository}${method === "GET" ? "/info/refs?service=git-upload-pack" : "/git-upload-pack"}`,
      )
      .replace("/*", "/index.html")
      .replace(":queue", walked.queue)
      .replace(":job", id)
      .replace(":id", /\/(?:account|executor-tokens|users)\//.test(template) ? "999999" : id)
      .replace(":artifactId", "1")
      .replace(":delivery", "1")
      .replace(":code", "BCDF-GHJK")
      .replace(":file", "none")
      .replace(":user", "guest")
      .replace(":name", nameIn(template, method, walked));
    const query = template.endsWith("/artifacts") && method === "PUT" ? "?attempt=1&name=a&kind=diff" : "";
    const upload = `?repository=${walked.repository}&commit=${walked.commit}&root=`;
    const scope = template === "/api/v1/secrets/:name" && method === "DELETE" ? `?namespace=${walked.namespace}` : "";
    const body = {
      executorName: walked.executor,
      version: "6.0.0",
      jobId: walked.job.id,
      queues: [walked.queue],
      queueNames: [walked.queue],
      attempt: 2,
      events: [{ kind: "chunk", entryId: 99, offset: 0, stream: "stdout", data: "YQ==" }],
      errorMessage: "",
      key: "setup",
      command: [],
      startTime: "2026-01-01T00:00:00Z",
      entryId: 99,
      usage: {
        ...{ step: 0, startedAt: "2026-01-01T00:00:00Z", intervalMs: 1000, durationMs: 1000 },
        limits: { cpus: 1, memoryBytes: 1, diskBytes: null },
        ...{ cpuMs: [1], memoryBytes: null, diskBytes: null, receivedBytes: null, sentBytes: null },
      },
    };
    const stop = new AbortController();
    if (template === "/.executors/events") url = `${url}?executorName=${walked.executor}`;
    const address = template.endsWith("/upload") ? url + upload : url + query + scope;
    // The authorization of this route is Prometheus's. Others come without one, from this machine.
    const { authorization: _, ...unauthorized } = headers;
    const credentials = template === "/metrics" ? unauthorized : headers;
    const response = await fetch(instance.url + address, {
      method,
      headers: {
        ...(method === "GET" || method === "HEAD" ? {} : { "content-type": "application/json" }),
        ...credentials,
      },
      signal: stop.signal,
      ...(method === "GET" || method === "HEAD"
        ? {}
        : { body: JSON.stringify(isExecutors ? body : bodyOf(route, walked)) }),
    });
    const { status } = response;
    stop.abort();
    return status;
  }

  async function listOf(route: string, headers: Readonly<Record<string, string>>): Promise<string> {
    const [, address = ""] = route.split(" ");
    return (await fetch(target.url + address, { headers })).text();
  }

  const isRefusal = (status: number) => status === 401 || status === 403;
  const isUser = (role: Role) => organizationRoles.some((one) => one === role);

  it.each(Object.entries(routeRules))("%s allows the roles of %s and refuses all others", async (name, permission) => {
    const route = name as RuledRoute;
    const wrong: string[] = [];
    for (const role of roles) {
      const reach = reachOf(role, permission);
      for (const headers of credentialsOf(role)) {
        // It would end the sessions of the other routes' requests.
        if (route === "DELETE /api/v1/session" && isUser(role)) continue;
        const status = await send(target, route, { ...own, user: `the-${role}` }, headers);
        // The administrator's token has no account, which the routes say with 400 or 403.
        if (role === "administrator" && permission.startsWith("account.")) continue;
        const marker = isUser(role) ? markers[route] : undefined;
        if (marker !== undefined) {
          // Every user may ask for a list. It has only what the role permits.
          const text = await listOf(route, headers);
          if (text.includes(marker) !== (reach !== null)) wrong.push(`${role}: lists ${text}`);
          continue;
        }
        const allowed = reach !== null && reach !== "legacy";
        if (isRefusal(status) === allowed) wrong.push(`${role}: ${status}`);
        // An answer that hides the target would look like this, too.
        if (isUser(role) && allowed && status === 404 && !mayBeMissing.has(route)) wrong.push(`${role}: hidden`);
        if (route === "DELETE /api/v1/account/organizations/:name" && isUser(role)) {
          await target.rest("PUT", `/organizations/own/members/the-${role}`, { role });
        }
        if (reach === "legacy" && isRefusal(await send(legacy, route, own, headers))) wrong.push(`${role}: legacy`);
      }
    }
    expect(wrong).toEqual([]);
  });

  it.each(
    Object.entries(routeRules).filter(
      ([name, permission]) => reachOf("owner", permission) === "own" && /:(?:id|name)|POST .*jobs$/.test(name),
    ),
  )("%s hides the things of another organization", async (name) => {
    for (const role of organizationRoles) {
      for (const headers of credentialsOf(role)) {
        const status = await send(target, name as RuledRoute, foreign, headers);
        // Queues are everybody's. 422: the namespace of a new job or secret.
        const shown = /queues/.test(name) ? [200] : [404, 422];
        expect(shown, `${role}: ${status}`).toContain(status);
      }
    }
  });

  it.each(Object.keys(routeRules).filter((name) => /^GET \/api\/v1\/[^:]*$/.test(name) && !/events/.test(name)))(
    "%s lists nothing of another organization",
    async (name) => {
      for (const role of organizationRoles) {
        const text = await listOf(name, { cookie: users.get(role) ?? "" });
        // The queue of that name is everybody's, but its counts are not.
        expect(text.replaceAll('"name":"foreign","queued":0,"processing":0,"oldestQueuedMs":null', "")).not.toMatch(
          /foreign/i,
        );
      }
    },
  );

  it("GET /api/v1/events sends nothing of another organization", async () => {
    const stop = new AbortController();
    const response = await fetch(`${target.url}/api/v1/events`, {
      headers: { cookie: users.get("viewer") ?? "" },
      signal: stop.signal,
    });
    const events = readEvents<{ kind: string; job?: { namespace: string } }>(response);
    const first = events.next();
    await target.submit({ namespace: "foreign", queue: "foreign" });
    await target.submit({ namespace: "own", queue: "own" });
    expect(await first).toMatchObject({ value: { data: { kind: "job", job: { namespace: "own" } } } });
    stop.abort();
  });

  it.each(Object.entries(routeRules).filter(([, permission]) => /own|running/.test(reachOf("job", permission) ?? "")))(
    "%s refuses a job's token for the things of another job",
    async (name) => {
      if (name.startsWith("HEAD")) return;
      expect(await send(target, name as RuledRoute, foreign, jobHeaders(own.job, own.executor))).toBe(403);
    },
  );

  it.each(
    Object.entries(routeRules).filter(
      ([name, permission]) => name.includes("/.executors/") && permission !== "executor.connect",
    ),
  )("%s refuses an executor token for another queue", async (name) => {
    const headers = { authorization: `token-executor ${queueToken}` };
    // Uploads don't know executor tokens at all.
    const refused = name.endsWith("/upload") ? 401 : 403;
    for (const instance of [target, legacy]) {
      expect(await send(instance, name as RuledRoute, foreign, headers)).toBe(refused);
      // The events are of a name, and not of a queue.
      if (name.endsWith("/events")) continue;
      // No executor of another queue has this name, so the queue alone is the reason.
      expect(await send(instance, name as RuledRoute, { ...foreign, executor: "stranger" }, headers)).toBe(refused);
    }
  });

  it.each(Object.entries(routeRules).filter(([name]) => name.includes("/api/v1/")))(
    "%s refuses a browser's changes from another site",
    async (name, permission) => {
      const route = name as RuledRoute;
      const isReading = route.startsWith("GET");
      if (route === "DELETE /api/v1/session") return;
      // The user of this test is an administrator, who is not a member of an organization.
      if (permission === "organization.leave") return;
      const sameSite = await send(target, route, own, { cookie, "sec-fetch-site": "same-origin" });
      expect(isRefusal(sameSite), `${sameSite}`).toBe(false);
      const status = await send(target, route, own, { cookie, "sec-fetch-site": "cross-site" });
      expect(isRefusal(status), `${status} ${permission}`).toBe(
        !isReading && reachOf("anonymous", permission) === null,
      );
    },
  );
});

/** What the lists have of the organization "own". */
const markers: Readonly<Partial<Record<RuledRoute, string>>> = {
  "GET /api/v1/jobs": '"namespace":"own"',
  "GET /api/v1/repositories": '"name":"own"',
  "GET /api/v1/organizations": '"name":"own"',
  "GET /api/v1/secrets": "OF_OWN",
  "GET /api/v1/webhooks": '"namespace":"own"',
  "GET /api/v1/secrets/audit": "OF_OWN",
  "GET /api/v1/audit": '"namespace":"own"',
  "GET /api/v1/audit/export": '"namespace":"own"',
};

/** Routes whose last part does not exist in this test. */
const mayBeMissing: ReadonlySet<RuledRoute> = new Set<RuledRoute>([
  "GET /api/v1/jobs/:id/artifacts/:artifactId",
  "GET /api/v1/jobs/:id/artifacts/:artifactId/files",
  "DELETE /api/v1/secrets/:name",
  "DELETE /api/v1/users/:name/sessions/:id",
  "DELETE /api/v1/users/:name/tokens/:id",
  "DELETE /api/v1/account/sessions/:id",
  // The instance of the test has no provider.
  "POST /api/v1/account/identities",
  "GET /api/v1/sign-in/oidc",
  "GET /api/v1/sign-in/oidc/callback",
  "DELETE /api/v1/account/tokens/:id",
  "POST /api/v1/webhooks/:id/deliveries/:delivery/repeat",
  "POST /api/v1/command-line-logins/token",
  "GET /api/v1/account/command-line-logins/:code",
  "POST /api/v1/account/command-line-logins/:code",
  "DELETE /api/v1/account/command-line-logins/:code",
  "DELETE /api/v1/organizations/:name/members/:user",
]);

function nameIn(template: string, method: string, walked: Walked): string {
  if (template.includes("/secrets/")) return "WALKED";
  // Deleting the organization would take it away from the requests that follow.
  if (template === "/api/v1/organizations/:name" && method === "DELETE") return "none";
  if (template.includes("/organizations/")) return walked.namespace;
  if (template.includes("/repositories/") && method !== "DELETE") return walked.repository;
  if (template.includes("/users/")) return walked.user;
  if (template.includes("/queues/")) return walked.queue;
  return "none";
}

/** A valid body, so that the route gets to its target. */
function bodyOf(route: RuledRoute, { namespace }: Walked): object {
  switch (route) {
    case "POST /api/v1/jobs":
      return { namespace, steps: [{ image: "alpine", run: "true" }] };
    case "POST /api/v1/webhooks":
      return { namespace, name: "walked", url: "https://hooks.example.com/", events: ["job.errored"] };
    case "POST /api/v1/account/command-line-logins/:code":
      return { name: "laptop", scopes: ["read"], expiresAt: null };
    case "PUT /api/v1/secrets/:name":
      return { namespace, value: "secret" };
    case "PATCH /api/v1/organizations/:name":
      return { displayName: "" };
    case "PUT /api/v1/organizations/:name/members/:user":
      return { role: "viewer" };
    default:
      return {};
  }
}

describe("a server's routes", () => {
  it("need a rule", () => {
    const app = Fastify();
    requireRules(app);
    expect(() => app.get("/api/v1/forgotten", async () => "secret")).toThrow(
      "the route GET /api/v1/forgotten has no permission: add it to access/route-rules.ts",
    );
  });

  it("need a guard, unless everyone may call them", async () => {
    const app = Fastify();
    requireRules(app);
    for (const name of Object.keys(routeRules)) {
      const [method = "", url = ""] = name.split(" ");
      app.route({ method, url, exposeHeadRoute: false, handler: async () => "secret" });
    }
    await expect(app.ready()).rejects.toThrow("needs session.read, but nothing checks credentials");
  });

  it("fail if they answer without checking their target", async () => {
    await using app = Fastify();
    guard(app, {
      authenticate: async () => ({
        kind: "job",
        job: 1,
        attempt: 1,
        queue: "default",
        repository: null,
        commit: null,
        executor: "one",
        running: true,
      }),
      refuse: (refusal) => new ExecutorApiError(403, refusal),
    });
    app.put("/forgetful", { config: { permission: "attempt.store-artifact" } }, async () => "stored");
    expect(await app.inject({ method: "PUT", url: "/forgetful" })).toMatchObject({ statusCode: 500 });
  });
});
