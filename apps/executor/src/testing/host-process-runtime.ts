import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, posix } from "node:path";
import { onAbort } from "@airlock/async";
import type {
  Runtime,
  RuntimeDescription,
  Sandbox,
  SandboxPlan,
  SandboxStep,
  StepOptions,
  StepStatus,
} from "@airlock/runtime";
import { imageInvalid, refuseDocker } from "@airlock/runtime";
import { HostDiskSandbox, type HostWorkspace, HostWorkspaces, type WorkspaceOptions } from "@airlock/runtime/host-disk";

const dockerProblem = "Processes of the host have no kernel of their own.";

/**
 * A runtime for tests of what surrounds a sandbox. Steps are plain processes of this machine without isolation. `/data`
 * and `/airlock` are directories of the host, so scripts must use relative paths. The image `missing` does not exist.
 */
export class HostProcessRuntime implements Runtime {
  readonly name: string = "oci";
  readonly plans: SandboxPlan[] = [];
  liveSandboxes = 0;
  readonly #temporaryDir: string | null;
  readonly #workspaces: HostWorkspaces;

  /** @param workspaces Default: a directory that is removed when the runtime is closed. */
  constructor(workspaces?: WorkspaceOptions) {
    this.#temporaryDir = workspaces ? null : mkdtempSync(join(tmpdir(), "airlock-host-process-"));
    this.#workspaces = new HostWorkspaces({
      dir: join(this.#temporaryDir ?? "", "workspaces"),
      ...workspaces,
      findsHostFile: async () => true,
    });
  }

  async describe(): Promise<RuntimeDescription> {
    const enforces = {
      cpu: false,
      memory: false,
      pids: false,
      egressNone: false,
      egressPublic: false,
      egressAllow: false,
      disk: "none" as const,
    };
    const servicesProblem = "Processes of the host have no network of their own.";
    return {
      version: "0",
      enforces,
      checkoutOwner: null,
      servicesProblem,
      dockerProblem,
      hasHostImage: true,
      notes: [],
    };
  }

  async createSandbox(plan: SandboxPlan, { signal }: { readonly signal: AbortSignal }): Promise<Sandbox> {
    refuseDocker(plan, dockerProblem);
    const workspace = await this.#workspaces.create(plan, { owner: null, mountOwned: null }, { signal });
    this.plans.push(plan);
    this.liveSandboxes += 1;
    let ended = false;
    return new HostDiskSandbox(plan.id, workspace, {
      prepareImage: async (image, { progress }) => {
        progress(`looking for ${image}`);
        if (image === "missing") throw imageInvalid(image, "does not exist");
      },
      runStep: (step, options) => runProcess(workspace, step, options),
      usage: () => ({}),
      end: async () => {
        if (!ended) this.liveSandboxes -= 1;
        ended = true;
      },
    });
  }

  async collect({ owner, keep, signal }: Parameters<Runtime["collect"]>[0]) {
    const details = await this.#workspaces.collect(owner, keep, { signal });
    return { sandboxes: details.length, details };
  }

  async evictImages() {
    return [];
  }

  async close(): Promise<void> {
    await this.#workspaces.close();
    if (this.#temporaryDir !== null) rmSync(this.#temporaryDir, { recursive: true, force: true });
  }
}

async function runProcess(
  workspace: HostWorkspace,
  step: SandboxStep,
  { signal, output }: StepOptions,
): Promise<StepStatus> {
  signal.throwIfAborted();
  const cwd = join(workspace.dir, posix.relative("/data", step.workingDirectory));
  await mkdir(cwd, { recursive: true });
  const script = join(workspace.readOnlyDir, posix.relative("/airlock", step.script));
  const env = { PATH: process.env.PATH ?? "", HOME: workspace.dir, ...step.env };
  const child = spawn("/bin/sh", [script], { cwd, env, detached: true, stdio: ["ignore", "pipe", "pipe"] });
  // The signal may have been aborted while the directory was made.
  using _ = onAbort(signal, () => child.pid !== undefined && process.kill(-child.pid, "SIGKILL"));
  const streams = [read(child.stdout, "stdout", output), read(child.stderr, "stderr", output)];
  const status = await new Promise<StepStatus>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code, killed) =>
      resolve(
        code === null
          ? { kind: "killed", signal: killed ?? "SIGKILL", outOfMemory: false }
          : { kind: "exited", exitCode: code },
      ),
    );
  });
  await Promise.all(streams);
  signal.throwIfAborted();
  return status;
}

async function read(
  stream: NodeJS.ReadableStream,
  name: "stdout" | "stderr",
  output: StepOptions["output"],
): Promise<void> {
  for await (const bytes of stream) await output(name, bytes as Buffer);
}
