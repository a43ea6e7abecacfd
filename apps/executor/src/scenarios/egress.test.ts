import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { readlink } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import type { Egress, JobPayloadWire } from "@airlock/api";
import { createOciRuntime } from "@airlock/runtime/oci";
import { describeWithEngines, temporaryDirectory } from "@airlock/test-kit";
import { afterEach, beforeEach, expect, it } from "vitest";
import { ScriptedInstance } from "../testing/scripted-instance.ts";
import { airlockJob, foreignJob, startExecutor } from "../testing/start-executor.ts";

const run = promisify(execFile);

/** Creates a network namespace whose default route leads nowhere. */
async function startNamespace(): Promise<{ readonly path: string } & AsyncDisposable> {
  const holder = spawn("unshare", ["--net", "cat"], { stdio: ["pipe", "ignore", "inherit"] });
  const exited = once(holder, "exit");
  const path = `/proc/${holder.pid}/ns/net`;
  while ((await readlink(path)) === (await readlink("/proc/self/ns/net"))) await sleep(5);
  const commands = `link set lo up
link add out0 type veth peer name out1
link set out1 up
address add 192.168.77.2/24 dev out0
link set out0 up
route add default via 192.168.77.1
`;
  const ip = run("nsenter", [`--net=${path}`, "ip", "-batch", "-"]);
  ip.child.stdin?.end(commands);
  await ip;
  return {
    path,
    async [Symbol.asyncDispose]() {
      holder.stdin.end();
      await exited;
    },
  };
}

describeWithEngines(["oci", "network"], "the network of a job", () => {
  let instance: ScriptedInstance;
  let stack: AsyncDisposableStack;
  let dir: string;
  let namespace: string;

  beforeEach(async () => {
    stack = new AsyncDisposableStack();
    dir = stack.use(await temporaryDirectory()).path;
    namespace = stack.use(await startNamespace()).path;
    instance = stack.use(await ScriptedInstance.start({ repositoriesDir: join(dir, "served") }));
  });
  afterEach(() => stack.disposeAsync());

  const start = async (env: Readonly<Record<string, string>> = {}) => {
    const runtime = await createOciRuntime({
      stateDir: join(dir, "runtime"),
      allowHostImage: true,
      egress: { networkNamespace: namespace, upstreams: [] },
    });
    return stack.use(await startExecutor({ url: instance.url, dataDir: join(dir, "executor"), runtime, env }));
  };
  const connect = "bash -c 'exec 3<>/dev/tcp/10.99.0.2/5432'";
  const dockerSteps = [{ key: "connect", image: "host", commands: [connect], dir: "", env: [] }];
  const asking = (id: number, egress: Egress): JobPayloadWire => {
    const job = airlockJob(id, [], { dockerSteps });
    return { ...job, ...(job.airlock ? { airlock: { ...job.airlock, egress } } : {}) };
  };
  const failures = async (count: number) => {
    await instance.until(() => instance.bodies("markFailed").length === count);
    return instance.bodies("markFailed");
  };

  it("is the internet by default; denied connections appear in the log, in the failure and in the metrics", async () => {
    const { logLines } = await start({ EXECUTOR_HEALTH_SERVER_ADDR: "127.0.0.1:0" });
    instance.enqueue(foreignJob(1, [], { dockerSteps }));

    const [failure] = await failures(1);
    expect(failure?.errorMessage).toBe(
      'step "connect" exited with 1: the egress policy denied tcp to 10.99.0.2 port 5432',
    );
    expect(instance.entries(1).map(({ key }) => key)).not.toContain("setup.network");
    expect(instance.output(1, "step.docker.connect")).toContain(
      "network: the egress policy does not allow tcp to 10.99.0.2 port 5432",
    );
    const port = /"port":(\d+)/.exec(logLines.join("\n"))?.[1];
    const metrics = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
    expect(metrics).toContain('airlock_executor_egress_denied_total{queue="default",kind="connection"} 1\n');
    expect(metrics).toContain('airlock_executor_egress_denied_total{queue="default",kind="name"} 0\n');
  });

  it("includes private addresses of an allow-list only if the administrator lists them", async () => {
    await start({ EXECUTOR_EGRESS_OPENABLE: "10.99.0.2:5432" });
    instance.enqueue(asking(1, { allow: ["10.99.0.0/16:5432"] }));
    const [refused] = await failures(1);
    expect(refused).toMatchObject({ jobId: 1, reason: "policy" });
    expect(refused?.errorMessage).toContain("EXECUTOR_EGRESS_OPENABLE");
    expect(instance.entries(1).filter(({ key }) => key.startsWith("step."))).toEqual([]);

    // No server answers, but the policy did not deny the connection.
    const quick = connect.replace("bash", "timeout 1 bash");
    const opened = asking(2, { allow: ["10.99.0.2:5432"] });
    instance.enqueue({
      ...opened,
      dockerSteps: [{ key: "connect", image: "host", commands: [quick], dir: "", env: [] }],
    });
    const [, failed] = await failures(2);
    expect(failed?.errorMessage).toMatch(/^step "connect" exited with \d+$/);
  });
});
