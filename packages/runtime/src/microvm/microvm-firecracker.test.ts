import { readdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import {
  busyboxImage,
  describeRuntime,
  describeWithEngines,
  dockerArchive,
  type TemporaryDirectory,
  temporaryDirectory,
} from "@airlock/test-kit";
import { afterAll, beforeAll, expect, it, vi } from "vitest";
import { openEgressSandbox } from "../egress/testing/egress-sandbox.ts";
import { publicIpv4, startTestNetwork, type TestNetwork } from "../egress/testing/test-network.ts";
import { findCgroupHost } from "../host/cgroups/cgroup-host.ts";
import { copyGuestFiles } from "./guest/build/build-guest-files.ts";
import type { MicrovmRuntime } from "./microvm-runtime.ts";
import { openMicrovmRuntime } from "./open-microvm-runtime.ts";
import { firecrackerSettings, hasFirecracker } from "./testing/firecracker-settings.ts";
import { microvmUnderTest } from "./testing/microvm-under-test.ts";
import { testGuest } from "./testing/test-guest.ts";

const { signal } = new AbortController();
const limits = { cpus: 1, memoryBytes: 128 * 2 ** 20, pids: 100, diskBytes: 64 * 2 ** 20 };
const owner = `firecracker-${process.pid}`;
const images = ["fixture:1", "fixture:2"] as const;
const machineMs = 120_000;

// The stand-in's guests are emulated, so with them the whole suite would only repeat that of QEMU, slowly.
if (hasFirecracker)
  describeRuntime("microvm with Firecracker", ["microvm"], () => microvmUnderTest(firecrackerSettings), {
    sharesKernel: false,
  });

describeWithEngines(["microvm", "network"], "the microvm runtime with Firecracker or its stand-in", () => {
  const cleanup = new AsyncDisposableStack();
  let network: TestNetwork;
  let directory: TemporaryDirectory;
  let runtime: MicrovmRuntime;
  const problems: unknown[] = [];

  beforeAll(async () => {
    network = cleanup.use(await startTestNetwork());
    directory = cleanup.use(await temporaryDirectory("fc-"));
    const guestDir = join(directory.path, "guest");
    await copyGuestFiles(dirname((await testGuest()).kernel), guestDir);
    runtime = await openMicrovmRuntime({
      stateDir: join(directory.path, "s"),
      guestDir,
      monitor: await firecrackerSettings(directory.path),
      egress: { networkNamespace: network.hostPath, upstreams: [] },
      bandwidth: { ingress: 100_000_000, egress: 100_000_000 },
      onProblem: (problem) => void problems.push(problem),
    });
    cleanup.defer(() => runtime.close());
    const archive = join(directory.path, "image.tar");
    for (const image of images) {
      await writeFile(archive, await dockerArchive(await busyboxImage({ Env: [`NAME=${image}`] }), image));
      await runtime.loadImages(archive, { signal });
    }
  }, 2 * machineMs);
  afterAll(() => cleanup.disposeAsync());

  const openSandbox = (id: string) =>
    openEgressSandbox(runtime, { id, owner, limits, image: images[0], egress: { kind: "public" } });
  const snapshots = async () =>
    (await readdir(join(directory.path, "s", "snapshots")).catch(() => [])).filter((one) => !one.startsWith("."));
  const leftovers = async () => {
    const vms = join(directory.path, "s", "vms");
    const machines = await Promise.all((await readdir(vms)).map((one) => readdir(join(vms, one))));
    return [...machines.flat(), ...(await (await findCgroupHost()).list(owner))];
  };

  it("says what runs machines", async () => {
    const { version, notes } = await runtime.describe({ signal });
    expect(version).toMatch(/^firecracker 1\.\d+\S*, accelerator kvm$/);
    expect(notes.join("\n")).not.toMatch(/is not used|emulated/);
  });

  it(
    "runs steps of several images in one machine, with a network",
    async () => {
      await using sandbox = await openSandbox("first");
      expect(await sandbox.run("echo kept > kept; echo $NAME; uname -r")).toMatch(/^fixture:1\n.*-cloud-amd64\n$/);
      expect(await sandbox.run("cat kept; echo $NAME", images[1])).toBe("kept\nfixture:2\n");
      expect(await sandbox.run(`nc -w 5 ${publicIpv4} 443 </dev/null`)).toContain(publicIpv4);
    },
    machineMs,
  );

  it(
    "starts copies of a snapshot, which never share random numbers",
    async () => {
      await vi.waitFor(async () => expect([await snapshots(), problems]).toEqual([[expect.anything()], []]), {
        timeout: machineMs,
        interval: 200,
      });
      const random = "head -c 16 /dev/urandom | sha256sum";
      await using one = await openSandbox("copy-1");
      await using two = await openSandbox("copy-2");
      const numbers = [await one.run(random), await two.run(random)];
      expect(numbers[0]).toMatch(/^[0-9a-f]{64} /);
      expect(numbers[0]).not.toBe(numbers[1]);
      expect(await two.run("date +%Y")).toBe(`${new Date().getUTCFullYear()}\n`);
    },
    2 * machineMs,
  );

  it(
    "leaves nothing, and collects what a killed executor left",
    async () => {
      expect(await leftovers()).toEqual([]);
      const abandoned = await openSandbox("abandoned");
      const running = abandoned.run("sleep 600").catch(() => {});
      // Another process's runtime does not know the machine.
      const other = await openMicrovmRuntime({
        stateDir: join(directory.path, "s"),
        guestDir: join(directory.path, "guest"),
        monitor: await firecrackerSettings(directory.path),
        choice: "installed",
        egress: { networkNamespace: network.hostPath, upstreams: [] },
      });
      const { sandboxes, details } = await other.collect({ owner, keep: new Set(), signal });
      await other.close();
      expect([sandboxes, details]).toEqual([1, expect.arrayContaining([expect.stringContaining("abandoned")])]);
      await running;
      expect(await leftovers()).toEqual([]);
      // Its network is gone, as in no process that still runs.
      await expect(abandoned[Symbol.asyncDispose]()).rejects.toThrow("No such file");
    },
    machineMs,
  );
});
