import { join } from "node:path";
import { temporaryDirectory } from "@airlock/test-kit";
import { expect, it } from "vitest";
import { HostProcessRuntime } from "../testing/host-process-runtime.ts";
import { ScriptedInstance } from "../testing/scripted-instance.ts";
import { airlockJob, startExecutor } from "../testing/start-executor.ts";

/** A runtime whose engine can be away. */
class EngineRuntime extends HostProcessRuntime {
  isThere = false;
  asked = 0;

  async answers(): Promise<boolean> {
    this.asked += 1;
    return this.isThere;
  }
}

it("an executor takes no job while its engine is away, and takes it when the engine is back", async () => {
  await using stack = new AsyncDisposableStack();
  const dir = stack.use(await temporaryDirectory()).path;
  const instance = stack.use(await ScriptedInstance.start({ repositoriesDir: join(dir, "served") }));
  const runtime = new EngineRuntime({ dir: join(dir, "workspaces") });
  instance.enqueue(
    airlockJob(1, [], { dockerSteps: [{ key: "main", image: "host", commands: ["echo ran"], dir: "", env: [] }] }),
  );
  const executor = stack.use(await startExecutor({ url: instance.url, dataDir: join(dir, "executor"), runtime }));
  await expect.poll(() => runtime.asked).toBeGreaterThan(2);

  expect(instance.requests.filter(({ path }) => path.endsWith("/dequeue"))).toEqual([]);
  expect(executor.logLines.filter((line) => line.includes("does not answer"))).toHaveLength(1);
  runtime.isThere = true;
  await instance.until(() => instance.bodies("markComplete").length === 1);
  expect(runtime.plans).toHaveLength(1);
});

it("an executor whose engine is away ends when it is told to", async () => {
  await using stack = new AsyncDisposableStack();
  const dir = stack.use(await temporaryDirectory()).path;
  const instance = stack.use(await ScriptedInstance.start({ repositoriesDir: join(dir, "served") }));
  const runtime = new EngineRuntime({ dir: join(dir, "workspaces") });
  const executor = stack.use(await startExecutor({ url: instance.url, dataDir: join(dir, "executor"), runtime }));
  await expect.poll(() => runtime.asked).toBeGreaterThan(0);

  executor.stop.drain("the test is over");
  await executor.ended;
});
