import { setTimeout as sleep } from "node:timers/promises";
import { temporaryDirectory } from "@airlock/test-kit";
import { expect, it } from "vitest";
import { ScriptedInstance } from "../testing/scripted-instance.ts";
import { airlockJob, startExecutor } from "../testing/start-executor.ts";

const megabyte = 1_000_000;

it.each([
  ["one line without an end", "head -c 200000000 /dev/zero | tr '\\0' x"],
  ["as many lines as it can", "yes | head -c 200000000"],
  ["binary noise", "head -c 200000000 /dev/urandom"],
])(
  "the executor bounds its memory and serves another job in time while one job floods its log with %s",
  async (_, flood) => {
    await using directory = await temporaryDirectory();
    await using instance = await ScriptedInstance.start();
    const arrivals: number[] = [];
    instance.intervene = ({ path, body }) => {
      if (!path.endsWith("/logs")) return undefined;
      if (body.jobId === 2) {
        for (const event of body.events ?? []) {
          if (event.kind === "chunk" && event.stream === "stdout") arrivals.push(performance.now());
        }
      }
      // Don't record the flood, because it would count as memory of this process.
      return body.jobId === 1 ? { status: 204 } : undefined;
    };
    await using _executor = await startExecutor({
      url: instance.url,
      dataDir: directory.path,
      env: { EXECUTOR_MAXIMUM_NUM_JOBS: "2", EXECUTOR_MAXIMUM_LOG_SIZE: "50M", EXECUTOR_MAXIMUM_LOG_RATE: "64M" },
    });
    const secret = "x".repeat(40);
    instance.enqueue(airlockJob(1, [flood], { redactedValues: { [`${secret}y`]: "***", "noise-noise": "***" } }));
    await instance.until(() => instance.bodies("logs").some(({ jobId }) => jobId === 1));
    const before = process.memoryUsage();
    let peakBytes = 0;
    const watch = setInterval(() => {
      const now = process.memoryUsage();
      // Requests that the scripted instance records are on the heap. The executor's buffers are not.
      peakBytes = Math.max(peakBytes, now.arrayBuffers - before.arrayBuffers);
      instance.requests.splice(0, instance.requests.length - 20);
    }, 50);
    instance.enqueue(airlockJob(2, ["for i in 1 2 3 4 5 6 7 8 9 10; do echo line $i; sleep 0.1; done"]));

    await instance.until(() => instance.bodies("markComplete").some(({ jobId }) => jobId === 2));
    clearInterval(watch);
    await sleep(0);

    expect(instance.output(2, "step.docker.only").split("\n").slice(0, -1)).toHaveLength(10);
    const gaps = arrivals.slice(1).map((at, index) => at - (arrivals[index] ?? at));
    expect(Math.max(...gaps)).toBeLessThan(1500);
    expect(peakBytes).toBeLessThan(100 * megabyte);
  },
  30_000,
);
