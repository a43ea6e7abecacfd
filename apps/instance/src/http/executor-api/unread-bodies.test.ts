import { Agent, type OutgoingHttpHeaders, request } from "node:http";
import { text } from "node:stream/consumers";
import { gzipSync } from "node:zlib";
import { createDatabase, describeWithEngines, engines, makeRepository, temporaryDirectory } from "@airlock/test-kit";
import { afterAll, beforeAll, expect, it } from "vitest";
import { jobHeaders, startTestInstance, type TakenJob, type TestInstance } from "../../testing/test-instance.ts";

const megabyte = 1024 * 1024;

describeWithEngines(["postgres"], "a connection with a request body that the instance did not read to its end", () => {
  const suite = new AsyncDisposableStack();
  let target: TestInstance;
  let job: TakenJob;
  let agent: Agent;
  beforeAll(async () => {
    const directory = suite.use(await temporaryDirectory());
    const files = [{ path: "a", content: "a" }];
    const { path } = await makeRepository(`${directory.path}/own`, [{ message: "1", files }]);
    const database = await createDatabase(engines().postgres?.url ?? "");
    target = suite.use(await startTestInstance(database, { maxArtifactBytes: megabyte }));
    await target.rest("POST", "/repositories", { name: "team/own", url: path });
    await target.submit({ repository: "team/own" });
    const taken = await target.executor("queue/default/dequeue", { executorName: "e", airlock: { waitMs: 5000 } });
    job = (await taken.json()) as TakenJob;
    agent = new Agent({ keepAlive: true, maxSockets: 1 });
    suite.defer(() => agent.destroy());
  });
  afterAll(() => suite.disposeAsync());

  /** Reuses one connection as long as it lives. Returns 0 if the connection was closed. */
  async function call(method: string, path: string, headers: OutgoingHttpHeaders = {}, body?: Buffer): Promise<number> {
    const { promise, resolve } = Promise.withResolvers<number>();
    const sent = request(`${target.url}${path}`, { method, headers, agent, timeout: 5000 });
    sent.once("timeout", () => sent.destroy());
    sent.on("error", () => resolve(0));
    sent.once("response", (answer) => {
      text(answer).then(
        () => resolve(answer.statusCode ?? 0),
        () => resolve(0),
      );
    });
    sent.end(body);
    return await promise;
  }

  it.each<[string, string, string, () => OutgoingHttpHeaders, () => Buffer]>([
    [
      "a body for a git process that ended early",
      "POST",
      "/.executors/git/team/own/git-upload-pack",
      () => ({ "content-type": "application/x-git-upload-pack-request", "content-encoding": "gzip" }),
      () => gzipSync(Buffer.alloc(200 * megabyte)),
    ],
    [
      "a body that git does not understand",
      "POST",
      "/.executors/git/team/own/git-upload-pack",
      () => ({ "content-type": "application/x-git-upload-pack-request" }),
      () => Buffer.alloc(4 * megabyte, "not git's protocol "),
    ],
    [
      "a list of Git LFS objects past its limit",
      "POST",
      "/.executors/git/team/own/info/lfs/objects/batch",
      () => ({ "content-type": "application/vnd.git-lfs+json" }),
      () => Buffer.alloc(8 * megabyte, "{"),
    ],
    [
      "an artifact past its limit",
      "PUT",
      "/.executors/queue/default/artifacts?attempt=1&name=a&kind=files",
      () => ({ "transfer-encoding": "chunked" }),
      () => Buffer.alloc(8 * megabyte),
    ],
    [
      "a JSON body past its limit",
      "POST",
      "/.executors/queue/default/markComplete",
      () => ({ "content-type": "application/json" }),
      () => Buffer.alloc(8 * megabyte, " "),
    ],
    [
      "an upload to an unknown repository",
      "POST",
      `/.executors/scip/upload?repository=none&commit=${"a".repeat(40)}`,
      () => ({ authorization: `token-executor ${target.instance.executorToken}` }),
      () => Buffer.alloc(8 * megabyte),
    ],
  ])("serves the next request after %s", async (_title, method, path, headers, body) => {
    for (let turn = 0; turn < 8; turn += 1) {
      const status = await call(method, path, { ...jobHeaders(job, "e"), ...headers() }, body());
      expect(status).not.toBe(500);
      // A closed connection is opened again; one that was kept must answer.
      expect(await call("GET", "/healthz")).toBe(200);
    }
  });
});
