import { spawn } from "node:child_process";
import { mkdir } from "node:fs/promises";
import { join, posix } from "node:path";
import type {
  Abortable,
  Runtime,
  RuntimeDescription,
  Sandbox,
  SandboxPlan,
  SandboxStep,
  StepOutput,
  StepStatus,
} from "@airlock/runtime";
import { imageInvalid } from "@airlock/runtime";

/**
 * For tests of what is around a sandbox: steps are plain processes of this machine, isolated from nothing. `/data` and
 * `/airlock` are the host's directories, so scripts use relative paths. The image `missing` does not exist.
 */
export class HostProcessRuntime implements Runtime {
  readonly name: string = "oci";
  readonly plans: SandboxPlan[] = [];
  liveSandboxes = 0;

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
    return { version: "0", enforces, notes: [] };
  }

  async createSandbox(plan: SandboxPlan): Promise<Sandbox> {
    this.plans.push(plan);
    this.liveSandboxes += 1;
    let disposed = false;
    return {
      id: plan.id,
      prepareImage: async (image, { progress }) => {
        progress(`looking for ${image}`);
        if (image === "missing") throw imageInvalid(image, "does not exist");
      },
      runStep: (step, options) => runProcess(plan, step, options),
      [Symbol.asyncDispose]: async () => {
        if (!disposed) this.liveSandboxes -= 1;
        disposed = true;
      },
    };
  }

  async collect() {
    return { sandboxes: 0, details: [] };
  }

  readonly workspaceOwner = null;

  async findsHostFile() {
    return true;
  }

  async close(): Promise<void> {}
}

async function runProcess(
  plan: SandboxPlan,
  step: SandboxStep,
  { signal, output }: Abortable & { output: StepOutput },
): Promise<StepStatus> {
  signal.throwIfAborted();
  const cwd = join(plan.workspaceDir, posix.relative("/data", step.workingDirectory));
  await mkdir(cwd, { recursive: true });
  const script = join(plan.scriptsDir, posix.relative("/airlock", step.script));
  const env = { PATH: process.env.PATH ?? "", HOME: plan.workspaceDir, ...step.env };
  const child = spawn("/bin/sh", [script], { cwd, env, detached: true, stdio: ["ignore", "pipe", "pipe"] });
  const kill = () => child.pid !== undefined && process.kill(-child.pid, "SIGKILL");
  signal.addEventListener("abort", kill, { once: true });
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
  signal.removeEventListener("abort", kill);
  signal.throwIfAborted();
  return status;
}

async function read(stream: NodeJS.ReadableStream, name: "stdout" | "stderr", output: StepOutput): Promise<void> {
  for await (const bytes of stream) await output(name, bytes as Buffer);
}
