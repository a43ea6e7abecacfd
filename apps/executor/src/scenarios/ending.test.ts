import { readFile, writeFile } from "node:fs/promises";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { join } from "node:path";
import { temporaryDirectory } from "@airlock/test-kit";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ScriptedInstance } from "../testing/scripted-instance.ts";
import { airlockJob, startExecutor } from "../testing/start-executor.ts";

let instance: ScriptedInstance;
let dataDir: string;
let stack: AsyncDisposableStack;

beforeEach(async () => {
  stack = new AsyncDisposableStack();
  dataDir = stack.use(await temporaryDirectory()).path;
  instance = stack.use(await ScriptedInstance.start());
});

afterEach(async () => {
  await stack.disposeAsync();
});

/** A proxy to the instance that can cut its connections, or stop answering while they stay open. */
async function startWay(target: string) {
  const sockets = new Set<Socket>();
  let isSilent = false;
  const server = createServer((near) => {
    sockets.add(near);
    if (isSilent) return;
    const far = connect(Number(new URL(target).port), "127.0.0.1");
    sockets.add(far);
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      from.on("data", (bytes) => void (isSilent || to.write(bytes)));
      from.on("close", () => to.destroy());
      from.on("error", () => to.destroy());
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const cut = () => {
    server.close();
    for (const socket of sockets) socket.destroy();
  };
  stack.defer(cut);
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    cut,
    fallSilent: () => {
      isSilent = true;
    },
  };
}

describe("an idle executor whose instance has stopped", () => {
  for (const [how, leave] of [
    ["refuses connections", "cut"],
    ["falls silent", "fallSilent"],
  ] as const) {
    it(`exits at once when the instance ${how}`, async () => {
      const way = await startWay(instance.url);
      const executor = stack.use(await startExecutor({ url: way.url, dataDir }));
      // A job makes the executor open the event stream, too.
      instance.enqueue(airlockJob(1, ["true"]));
      await instance.until(() => instance.bodies("markComplete").length === 1 && instance.bodies("dequeue").length > 1);
      way[leave]();
      await new Promise((resolve) => setTimeout(resolve, 300));
      const startedAt = performance.now();
      executor.stop.drain("test");

      await executor.ended;

      expect(performance.now() - startedAt).toBeLessThan(2000);
    });
  }

  it("exits at once even while it hands back its predecessor's jobs", async () => {
    const way = await startWay(instance.url);
    instance.enqueue(airlockJob(1, ["sleep 60"]));
    const first = await startExecutor({ url: way.url, dataDir });
    await instance.until(() => instance.entries(1).some(({ key }) => key === "step.docker.only"));
    const file = join(dataDir, "held-jobs", "default-1-1.json");
    const held = await readFile(file, "utf8");
    await first[Symbol.asyncDispose]();
    await writeFile(file, held);
    // The next executor finds the record and asks the instance, but gets no answer.
    instance.intervene = ({ path }) => {
      if (path.endsWith("/markErrored")) way.fallSilent();
      return undefined;
    };
    const next = stack.use(await startExecutor({ url: way.url, dataDir }));
    await instance.until(() => instance.bodies("markErrored").length === 2);
    const startedAt = performance.now();
    next.stop.drain("test");

    await next.ended;

    expect(performance.now() - startedAt).toBeLessThan(2000);
    // An attempt that could not be handed back stays on record for the next start.
    expect(await readFile(file, "utf8")).toBe(held);
  });
});

describe("an executor's name", () => {
  it("stays the same when the executor restarts with the same data directory, and differs between directories", async () => {
    const other = stack.use(await temporaryDirectory()).path;
    for (const dir of [dataDir, dataDir, other]) {
      const heartbeats = instance.bodies("heartbeat").length;
      await using _ = await startExecutor({ url: instance.url, dataDir: dir });
      await instance.until(() => instance.bodies("heartbeat").length > heartbeats);
    }

    const names = new Set(instance.bodies("heartbeat").map(({ executorName }) => executorName));
    expect(names.size).toBe(2);
  });
});
