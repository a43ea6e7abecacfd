import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { request as httpRequest } from "node:http";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { AirlockError } from "@airlock/job";
import { readProxies } from "@airlock/proxy";
import { commandLines, forwardingProxy, makeCertificates, makeRepository, temporaryDirectory } from "@airlock/test-kit";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { lfsPointer } from "../testing/lfs-objects.ts";
import { ScriptedInstance } from "../testing/scripted-instance.ts";
import { airlockJob, startExecutor } from "../testing/start-executor.ts";
import { WorkspaceBench } from "../testing/workspace-bench.ts";

const content = "content of an object\n";
const password = "s3cret-of-the-proxy";

let stack: AsyncDisposableStack;
let dir: string;
let instance: ScriptedInstance;
let head: string;

beforeEach(async () => {
  stack = new AsyncDisposableStack();
  dir = stack.use(await temporaryDirectory()).path;
  instance = stack.use(await ScriptedInstance.start({ repositoriesDir: join(dir, "served") }));
  instance.lfs.add(content);
  const made = await makeRepository(join(dir, "served/app"), [
    {
      message: "One",
      files: [
        { path: ".gitattributes", content: "*.bin filter=lfs diff=lfs merge=lfs -text\n" },
        { path: "data.bin", content: lfsPointer(content) },
      ],
    },
  ]);
  head = made.head;
});
afterEach(() => stack.disposeAsync());

const instancePort = () => Number(new URL(instance.url).port);

describe("an executor behind a proxy", () => {
  it("reaches the instance, its repositories and its Git LFS objects only through the proxy", async () => {
    const proxy = await forwardingProxy({
      routes: { "airlock.test:80": instancePort() },
      credentials: `ci:${password}`,
    });
    let running = "";
    instance.intervene = ({ path }) => {
      if (path.includes("git-upload-pack")) running += commandLines().join("\n");
      return undefined;
    };
    const executor = stack.use(
      await startExecutor({
        url: "http://airlock.test/",
        dataDir: join(dir, "executor"),
        env: { HTTP_PROXY: proxy.url, EXECUTOR_GIT_LFS: "true" },
      }),
    );
    const job = airlockJob(1, ["cat data.bin; env"], { repositoryName: "app", commit: head });
    instance.enqueue(job);
    await instance.until(() => instance.bodies("markComplete").length === 1);

    expect(instance.output(1, "step.docker.only")).toContain(content);
    // Steps get no proxy unless the administrator says so.
    expect(instance.output(1, "step.docker.only")).not.toMatch(/proxy/i);
    const asked = proxy.requests.join("\n");
    expect(asked).toContain("POST http://airlock.test/.executors/queue/default/dequeue");
    expect(asked).toContain("POST http://airlock.test/.executors/git/app/git-upload-pack");
    expect(asked).toContain("POST http://airlock.test/.executors/git/app/info/lfs/objects/batch");
    expect(asked).toContain("POST http://airlock.test/.executors/queue/default/markComplete");
    expect(instance.gitRequests.length).toBeGreaterThan(0);
    // Credentials of the proxy are for the proxy.
    for (const { headers } of [...instance.requests, ...instance.gitRequests, ...instance.lfs.requests])
      expect(headers["proxy-authorization"]).toBeUndefined();
    expect(running).toContain("git-remote-http");
    expect(running).not.toContain(password);
    expect(executor.logLines.join("")).not.toContain(password);
    expect(JSON.stringify(instance.requests)).not.toContain(password);
  });

  it("bypasses the proxy for an instance on this machine and for NO_PROXY hosts", async () => {
    const proxy = await forwardingProxy();
    const env = { ALL_PROXY: proxy.url };
    stack.use(await startExecutor({ url: instance.url, dataDir: join(dir, "executor"), env }));
    instance.enqueue(airlockJob(1, ["echo done"], { repositoryName: "app", commit: head }));
    await instance.until(() => instance.bodies("markComplete").length === 1);
    expect(proxy.requests).toEqual([]);
  });

  it("reports which proxy refused a request, without the proxy's password", async () => {
    const proxy = await forwardingProxy({ credentials: "ci:other" });
    const url = `http://ci:${password}@127.0.0.1:${proxy.port}`;
    const executor = stack.use(
      await startExecutor({
        url: "http://airlock.test/",
        dataDir: join(dir, "executor"),
        env: { HTTP_PROXY: url },
      }),
    );
    const log = () => executor.logLines.join("");
    await expect.poll(log, { timeout: 20_000 }).toContain(`through the proxy http://127.0.0.1:${proxy.port}`);
    expect(log()).toContain("407");
    expect(log()).not.toContain(password);
  });
});

describe("git behind a proxy", () => {
  const bench = (env: Readonly<Record<string, string>>, url: string, certificateFile?: string) =>
    WorkspaceBench.create({
      dir: join(dir, "bench"),
      instance,
      overlays: false,
      url,
      proxies: readProxies(env),
      ...(certificateFile === undefined ? {} : { certificateFile }),
    });
  const refused = async (env: Readonly<Record<string, string>>, url: string): Promise<AirlockError> => {
    const place = await bench(env, url);
    const error = await place.prepare({ repository: "app", commit: head }).catch((thrown: unknown) => thrown);
    if (error instanceof AirlockError) return error;
    throw error ?? new Error("the checkout was made");
  };

  it("reaches an https server through a tunnel, and checks its certificate", async () => {
    const certificates = await makeCertificates(dir, "DNS:airlock.test");
    const server = createServer(certificates, (incoming, response) => {
      const { method, headers } = incoming;
      const onward = httpRequest(`${instance.url}${incoming.url}`, { method, headers }, (answer) => {
        response.writeHead(answer.statusCode ?? 502, answer.headers);
        answer.pipe(response);
      });
      incoming.pipe(onward);
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    stack.defer(() => {
      server.closeAllConnections();
      server.close();
    });
    const proxy = await forwardingProxy({
      routes: { "airlock.test:443": (server.address() as AddressInfo).port },
      credentials: `ci:${password}`,
    });
    const env = { HTTPS_PROXY: proxy.url };
    const place = await bench(env, "https://airlock.test", certificates.caFile);

    await using workspace = await place.prepare({ repository: "app", commit: head });
    expect(await readFile(join(workspace.dir, ".gitattributes"), "utf8")).toContain("lfs");
    expect(proxy.requests).toContain("CONNECT airlock.test:443");
  });

  it.each(["http://airlock.test", "https://airlock.test"])(
    "reports a proxy that refuses the connection to %s as an infrastructure error, without a password",
    async (url) => {
      const proxy = await forwardingProxy({ credentials: "ci:other" });
      const error = await refused({ ALL_PROXY: `http://ci:${password}@127.0.0.1:${proxy.port}` }, url);
      expect(error).toMatchObject({
        reason: "checkout-unavailable",
        message: expect.stringContaining("the proxy does not lead to the server"),
        hint: expect.stringContaining("HTTPS_PROXY"),
      });
      expect(`${error.message} ${error.stack}`).not.toContain(password);
    },
  );

  it("reports an unreachable proxy", async () => {
    const proxy = await forwardingProxy();
    await proxy[Symbol.asyncDispose]();
    const error = await refused({ ALL_PROXY: `http://ci:${password}@127.0.0.1:${proxy.port}` }, "http://airlock.test");
    expect(error.reason).toBe("checkout-unavailable");
    expect(`${error.message} ${error.stack}`).not.toContain(password);
  });
});
