import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { promisify } from "node:util";
import { AirlockError } from "@airlock/job";
import {
  busyboxImage,
  describeRuntime,
  describeWithEngines,
  loadImage,
  type RuntimeUnderTest,
  workspacesOfTests,
} from "@airlock/test-kit";
import { startEngines } from "@airlock/test-kit/start-engines";
import { describe, expect, it } from "vitest";
import { findOnSystemPath } from "../host/find-program.ts";
import { createDockerRuntime } from "./docker-runtime.ts";
import { loadContractImages } from "./testing/contract-images.ts";

const signal = new AbortController().signal;
const workspaces = await workspacesOfTests();
const workspace = { checkout: null, files: [], readOnlyFiles: [] };
const runscPath = await findOnSystemPath(["runsc"]);
/** Arguments that work without KVM and in network namespaces that this version of runsc can't set up. */
const safeArguments = ["--platform=ptrace", "--network=none"];

describe.skipIf(runscPath === undefined || process.geteuid?.() !== 0)("with runsc and root", () => {
  describeRuntime("docker, with gVisor", ["docker"], prepare, { sharesKernel: false });

  describeWithEngines(["docker"], "a container that gVisor may not start", () => {
    it("leaves no process behind", async () => {
      await using own = await startGvisor(["--platform=ptrace"]);
      await loadImage(await busyboxImage(), own.socketPath, "gvisor-shell:1");
      const runtime = createDockerRuntime({
        host: `unix://${own.socketPath}`,
        allowHostImage: false,
        workspaces,
        runtime: "runsc",
      });
      const id = `t${randomBytes(6).toString("hex")}`;
      const limits = { cpus: 1, memoryBytes: 256 << 20, pids: 64 };
      {
        const plan = { id, owner: "gvisor", workspace, limits, egress: { kind: "none" } } as const;
        await using sandbox = await runtime.createSandbox(plan, { signal });
        // Old versions of runsc fail half-way because of their own network stack. Newer ones start, and end with the
        // sandbox.
        const failure = await sandbox.prepareImage("gvisor-shell:1", { signal, progress: () => {} }).catch(reasonOf);
        expect([undefined, "runtime"]).toContain(failure);
      }
      await runtime.close();

      // The engine's own clean-up of a failed start goes on after its answer.
      await expect.poll(() => commandLinesWith(own.socketPath.replace(/\/docker\.sock$/, ""))).toEqual([]);
    });
  });

  describeWithEngines(["docker"], "a container runtime that the Docker engine does not have", () => {
    it("is reported as an error, and no sandbox is made", async () => {
      await using own = await startGvisor(safeArguments);
      const host = `unix://${own.socketPath}`;
      const runtime = createDockerRuntime({ host, allowHostImage: false, workspaces, runtime: "kata" });
      const plan = { id: "none", owner: "gvisor", workspace };
      const limits = { cpus: 1, memoryBytes: 64 << 20, pids: 64 };

      const { notes } = await runtime.describe({ signal });
      const creating = runtime.createSandbox({ ...plan, limits, egress: { kind: "none" } }, { signal });

      await expect(creating).rejects.toMatchObject({ hint: expect.stringContaining("runsc") });
      expect(notes.join()).toContain('no runtime "kata"');
      await runtime.close();
    });
  });
});

function reasonOf(error: unknown): unknown {
  return error instanceof AirlockError ? error.reason : error;
}

async function startGvisor(runtimeArgs: readonly string[]) {
  await using cleanup = new AsyncDisposableStack();
  const config = { runtimes: { runsc: { path: runscPath, runtimeArgs } } };
  const { engines } = cleanup.use(await startEngines(["docker", "registry"], { docker: { config } }));
  const { docker, registry, missing } = engines;
  if (!docker || !registry) throw new Error(missing.docker ?? missing.registry);
  const owned = cleanup.move();
  return {
    socketPath: docker.socketPath,
    registry: registry.address,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** Command lines of the processes that the engine in this directory started for containers. */
async function commandLinesWith(directory: string): Promise<string[]> {
  const { stdout } = await promisify(execFile)("ps", ["-eo", "args"]);
  const ofContainers = /^\S*(?:containerd-shim|runsc)/;
  return stdout.split("\n").filter((line) => ofContainers.test(line) && line.includes(directory));
}

async function prepare({ allowHostImage }: { readonly allowHostImage: boolean }): Promise<RuntimeUnderTest> {
  await using cleanup = new AsyncDisposableStack();
  const { socketPath, registry } = cleanup.use(await startGvisor(safeArguments));
  const provided = await loadContractImages(socketPath, registry);
  const runtime = createDockerRuntime({ host: `unix://${socketPath}`, allowHostImage, workspaces, runtime: "runsc" });
  cleanup.defer(() => runtime.close());
  const owned = cleanup.move();
  return { runtime, owner: `gvisor-${process.pid}`, ...provided, dispose: () => owned.disposeAsync() };
}
