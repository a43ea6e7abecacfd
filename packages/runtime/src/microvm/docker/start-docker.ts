import { AirlockError, formatBytes } from "@airlock/job";
import { runtimeFailed } from "../../contract/errors.ts";
import type { DockerDaemonSettings } from "../../contract/index.ts";
import type { GuestAgent } from "../guest/guest-agent.ts";
import { GuestCallError } from "../guest/guest-call-error.ts";
import type { RunningVm } from "../monitor/vm-monitor.ts";
import { clientDirectory } from "./assemble-docker-root.ts";

/** Where steps find the daemon, unless their own variables say something else. */
export const dockerHost = "DOCKER_HOST=unix:///airlock/docker.sock";
const clientPath = `/airlock/docker/${clientDirectory}`;
/** How long the daemon may take until it answers. Under emulation on a busy machine it needs minutes. */
const startMs = 300_000;
/** How often the job's log says that the daemon is still starting. */
const noteMs = 10_000;
const shownBytes = 2000;

/** The variables of a step whose image need not have a Docker client. One of the image's own comes first. */
export function withDockerClient(variables: Readonly<Record<string, string>>): Record<string, string> {
  return { ...variables, PATH: variables.PATH ? `${variables.PATH}:${clientPath}` : clientPath };
}

export interface DockerStart {
  /** The guest's empty slot that receives the disk with the daemon. */
  readonly disk: number;
  readonly limits: { readonly cpus: number; readonly memoryBytes: number; readonly pids: number };
  /** Content of `/etc/resolv.conf`. */
  readonly resolvConf: string;
  /** MTU of the guest's network device. `null`: it has none. */
  readonly mtu: number | null;
  /** Default: none. */
  readonly daemon: DockerDaemonSettings | undefined;
  /** As in `SandboxPlan`. */
  readonly onWait: ((reason: string) => void) | undefined;
}

/**
 * Gives a guest the disk with Docker, starts the daemon, and waits until it answers.
 * @throws {AirlockError} reason `out-of-memory`, or `runtime` with the end of the daemon's log; `signal.reason`.
 */
export async function startDocker(
  { vm, agent }: { readonly vm: Pick<RunningVm, "attachImage">; readonly agent: GuestAgent },
  path: string,
  start: DockerStart,
  signal: AbortSignal,
): Promise<void> {
  const startedAt = performance.now();
  const tell = () => {
    const seconds = Math.round((performance.now() - startedAt) / 1000);
    start.onWait?.(`the job's Docker daemon is starting${seconds > 0 ? `, for ${seconds} s so far` : ""}`);
  };
  tell();
  const timer = setInterval(tell, noteMs);
  try {
    await vm.attachImage(start.disk, path, { signal });
    await agent.mountImage(start.disk, "ext4", signal);
    await runDaemons(agent, start, signal);
  } finally {
    clearInterval(timer);
  }
}

async function runDaemons(agent: GuestAgent, start: DockerStart, signal: AbortSignal): Promise<void> {
  const { disk, limits, resolvConf, mtu, daemon } = start;
  const { cpus, memoryBytes, pids } = limits;
  const containerd = ["/usr/bin/containerd", "--log-level=warn"] as const;
  const dockerd = [
    "/usr/sbin/dockerd",
    "--containerd=/run/containerd/containerd.sock",
    "--host=unix:///run/docker.sock",
    "--data-root=/var/lib/docker",
    "--storage-driver=overlay2",
    "--log-level=warn",
    ...(mtu === null ? [] : [`--mtu=${mtu}`]),
    ...(daemon?.registryMirrors ?? []).map((mirror) => `--registry-mirror=${mirror}`),
  ] as const;
  const variables = Object.entries(daemon?.environment ?? {}).map(([name, value]) => `${name}=${value}`);
  let log = "";
  const onLog = (bytes: Buffer) => {
    log = (log + bytes.toString("latin1")).slice(-shownBytes);
  };
  const limit = AbortSignal.timeout(startMs);
  try {
    const options = { signal: AbortSignal.any([signal, limit]), onLog };
    const cpuMicros = Math.round(cpus * 100_000);
    const programs = { containerd, dockerd, variables };
    await agent.startDocker({ disk, memoryBytes, pids, cpuMicros, resolvConf, ...programs }, options);
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof GuestCallError && error.code === "out-of-memory") throw needsMemory(memoryBytes, error);
    const problem = limit.aborted ? `did not answer within ${startMs / 1000} s` : "did not start";
    if (!limit.aborted && !(error instanceof GuestCallError)) throw error;
    throw runtimeFailed(`the Docker daemon of the job's virtual machine ${problem}${shown(log)}`, error);
  }
}

/** The guest may have written anything into the log. */
function shown(log: string): string {
  const text = log.replace(/[^\x20-\x7e\n]/g, "?").trim();
  return text === "" ? "" : `: ${text}`;
}

function needsMemory(memoryBytes: number, cause: unknown): AirlockError {
  const limit = formatBytes(memoryBytes);
  return new AirlockError(`the job's memory limit of ${limit} is too small to start its Docker daemon`, {
    code: "out-of-memory",
    reason: "out-of-memory",
    hint: "Raise resources.memory.",
    cause,
  });
}
