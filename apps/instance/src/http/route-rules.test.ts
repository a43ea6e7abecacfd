import { mkdir, writeFile } from "node:fs/promises";
import path from "node:path";
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
import { jobHeaders, startTestInstance, type TakenJob, type TestInstance } from "../testing/test-instance.ts";
import { ExecutorApiError } from "./executor-api/authenticate-executor.ts";
import { guard, requireRules } from "./shared/route-access.ts";

/** The job of the walking executor, and somebody else's job. */
interface Walked {
  readonly queue: string;
  readonly repository: string;
  readonly commit: string;
  readonly executor: string;
  readonly job: TakenJob;
}

describeWithEngines(["postgres"], "every route of the instance", () => {
  let directory: TemporaryDirectory;
  let target: TestInstance;
  let legacy: TestInstance;
  let cookie: string;
  let own: Walked;
  let foreign: Walked;

  async function takeJob(name: string): Promise<Walked> {
    const repository = await makeRepository(`${directory.path}/${name}.git`, [
      { message: "One", files: [{ path: "a", content: name }] },
    ]);
    await target.rest("POST", "/repositories", { name, url: repository.path });
    await target.rest("POST", "/queues", { name });
    await target.submit({ queue: name, repository: name, files: { "a.txt": "a" } });
    const executor = `executor-${name}`;
    const taken = await target.executor(`queue/${name}/dequeue`, { executorName: executor, version: "6.0.0" });
    return { queue: name, repository: name, commit: repository.head, executor, job: (await taken.json()) as TakenJob };
  }

  beforeAll(async () => {
    directory = await temporaryDirectory();
    const webDirectory = path.join(directory.path, "web");
    await mkdir(webDirectory);
    await writeFile(path.join(webDirectory, "index.html"), "<title>Airlock</title>");
    const database = await createDatabase(engines().postgres?.url ?? "");
    target = await startTestInstance(database, { webDirectory });
    legacy = await startTestInstance({ url: database.url }, { webDirectory, legacySharedSecret: true });
    own = await takeJob("own");
    foreign = await takeJob("foreign");
    const session = await target.rest("POST", "/session", { token: target.instance.administratorToken });
    cookie = (session.headers.getSetCookie()[0] ?? "").split(";")[0] ?? "";
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
    const id = String(walked.job.id);
    const url = template
      .replace(
        "/git/*",
        `/git/${walked.repository}${method === "GET" ? "/info/refs?service=git-upload-pack" : "/git-upload-pack"}`,
      )
      .replace("/*", "/index.html")
      .replace(":queue", walked.queue)
      .replace(":job", id)
      .replace(":id", id)
      .replace(":artifactId", "1")
      .replace(":file", "none")
      .replace(":name", template.includes("/repositories/") && method !== "DELETE" ? walked.repository : "none");
    const query = template.endsWith("/artifacts") && method === "PUT" ? "?attempt=1&name=a&kind=diff" : "";
    const upload = `?repository=${walked.repository}&commit=${walked.commit}&root=`;
    const body = {
      executorName: walked.executor,
      version: "6.0.0",
      jobId: walked.job.id,
      attempt: 2,
      events: [{ kind: "chunk", entryId: 99, offset: 0, stream: "stdout", data: "YQ==" }],
      errorMessage: "",
      key: "setup",
      command: [],
      startTime: "2026-01-01T00:00:00Z",
      entryId: 99,
    };
    const stop = new AbortController();
    const address = template.endsWith("/upload") ? url + upload : url + query;
    const response = await fetch(instance.url + address, {
      method,
      headers: { ...(method === "GET" || method === "HEAD" ? {} : { "content-type": "application/json" }), ...headers },
      signal: stop.signal,
      ...(method === "GET" || method === "HEAD" ? {} : { body: JSON.stringify(isExecutors ? body : {}) }),
    });
    const { status } = response;
    stop.abort();
    return status;
  }

  const isRefusal = (status: number) => status === 401 || status === 403;

  it.each(Object.entries(routeRules))("%s allows the roles of %s and refuses all others", async (name, permission) => {
    const route = name as RuledRoute;
    const wrong: string[] = [];
    for (const role of roles) {
      const reach = reachOf(role, permission);
      for (const headers of credentialsOf(role)) {
        const status = await send(target, route, own, headers);
        const allowed = reach !== null && reach !== "legacy";
        if (isRefusal(status) === allowed) wrong.push(`${role}: ${status}`);
        if (reach === "legacy" && isRefusal(await send(legacy, route, own, headers))) wrong.push(`${role}: legacy`);
      }
    }
    expect(wrong).toEqual([]);
  });

  it.each(Object.entries(routeRules).filter(([, permission]) => /own|running/.test(reachOf("job", permission) ?? "")))(
    "%s refuses a job's token for the things of another job",
    async (name) => {
      if (name.startsWith("HEAD")) return;
      expect(await send(target, name as RuledRoute, foreign, jobHeaders(own.job, own.executor))).toBe(403);
    },
  );

  it.each(Object.entries(routeRules).filter(([name]) => name.includes("/api/v1/")))(
    "%s refuses a browser's changes from another site",
    async (name, permission) => {
      const route = name as RuledRoute;
      const isReading = route.startsWith("GET");
      if (route === "DELETE /api/v1/session") return;
      const sameSite = await send(target, route, own, { cookie, "sec-fetch-site": "same-origin" });
      expect(isRefusal(sameSite), `${sameSite}`).toBe(false);
      const status = await send(target, route, own, { cookie, "sec-fetch-site": "cross-site" });
      expect(isRefusal(status), `${status} ${permission}`).toBe(!isReading && permission !== "session.begin");
    },
  );
});

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
