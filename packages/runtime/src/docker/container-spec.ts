import { shmSize } from "../contract/check-limits.ts";
import type { SandboxPlan } from "../contract/index.ts";
import type { HostWorkspace } from "../host-disk/host-workspace.ts";
import type { Hardening } from "../isolation/hardening.ts";
import type { ProcessLimits } from "../isolation/process-limits.ts";
import { containerHardening } from "./container-hardening.ts";
import type { EngineFacts } from "./engine-facts.ts";
import { containerHostname } from "./own-files.ts";

/** Everything that decides how one container of a sandbox is created. */
export interface ContainerPlan {
  readonly sandbox: SandboxPlan;
  readonly workspace: HostWorkspace;
  /** The image's id rather than its name, so that the image that was checked is the one that runs (no TOCTOU). */
  readonly imageId: string;
  /** `none`, the name of the sandbox's network, or `container:ID` to join another container of the sandbox. */
  readonly networkMode: string;
  /**
   * DNS servers to which the engine forwards the container's queries. Empty for a container that joins another one's
   * network.
   */
  readonly nameServers: readonly string[];
  readonly facts: EngineFacts;
  readonly hardening: Hardening;
  /** The engine's name for the OCI runtime. `undefined`: the engine's default. */
  readonly ociRuntime: string | undefined;
  /** Whether a container with a network resolves `host.docker.internal` to the engine's machine. */
  readonly addHostGateway: boolean;
  readonly overhead: ContainerOverhead;
  readonly processLimits: ProcessLimits;
  /** The sandbox's parent cgroup. `undefined` if its containers can't share one. */
  readonly cgroup: { readonly path: string } | undefined;
  /** Size limit of the container's layer. `undefined` if the engine's file system can't enforce one. */
  readonly layerBytes: number | undefined;
  /** Host files that take the place of the engine's, by their path in the container. */
  readonly ownFiles: ReadonlyMap<string, string>;
  /** Mounts for the volumes that the image declares. */
  readonly volumes: readonly object[];
  /** Host paths that are mounted read-only at the same path: the tool chain of the image `host`. */
  readonly readOnlyPaths: readonly string[];
}

export const ownerLabel = "airlock.owner";
export const sandboxLabel = "airlock.sandbox";

/** docker-init and the keeper. They run before any step, so they don't count towards the job's pids limit. */
export const keeperPids = 2;

/** How many host processes a container needs beyond those of its steps. */
export interface ContainerOverhead {
  /** Host processes or threads per process of a step. */
  readonly pidsFactor: number;
  readonly pids: number;
}

export const plainOverhead: ContainerOverhead = { pidsFactor: 1, pids: keeperPids };

/**
 * A kernel in user space (gVisor) needs host threads for itself, and at least one more for each process inside. It
 * crashes when it is refused a thread. So this limit only stops runaways; it is not an exact count.
 */
export const userSpaceKernelOverhead: ContainerOverhead = { pidsFactor: 3, pids: 256 };

export const keeperReady = "airlock-ready";
export const keeperDone = "airlock-done";

/**
 * Keeps the container alive between steps and signals their processes. Its stdin is a connection held by the executor:
 * when the executor dies, stdin ends, and with it the container. `kill -1` spares PID 1 and the keeper itself and can't
 * miss a process that is about to fork. As a shell builtin it needs no free pid.
 */
const keeper = `echo ${keeperReady}; while read -r s; do kill "-$s" -1 2>/dev/null; echo ${keeperDone}; done`;

/** The body of `POST /containers/create`. */
export function containerSpec(plan: ContainerPlan): object {
  const { sandbox, workspace, imageId, networkMode, nameServers, facts, hardening, readOnlyPaths } = plan;
  const { limits } = sandbox;
  return {
    Image: imageId,
    Labels: { [ownerLabel]: sandbox.owner, [sandboxLabel]: sandbox.id },
    // Override everything that the image's configuration asks for. An image only provides its file system and
    // environment.
    Entrypoint: ["/bin/sh", "-c", keeper],
    Cmd: [],
    User: "0:0",
    WorkingDir: "/",
    Healthcheck: { Test: ["NONE"] },
    ...(networkMode.startsWith("container:") ? {} : { Hostname: containerHostname }),
    // The OCI runtime creates the network namespace itself, with nothing but its loopback. For the mode `none` alone the
    // engine would start itself again to do the same, which doubles the start time.
    ...(networkMode === "none" ? { NetworkDisabled: true } : {}),
    OpenStdin: true,
    StdinOnce: true,
    AttachStdin: true,
    AttachStdout: true,
    AttachStderr: true,
    Tty: false,
    HostConfig: {
      Init: true,
      NetworkMode: networkMode,
      ...(nameServers.length > 0 ? { Dns: nameServers, DnsSearch: ["."] } : {}),
      // A container that joins another one's network also shares its /etc/hosts.
      ...(plan.addHostGateway && networkMode !== "none" && !networkMode.startsWith("container:")
        ? { ExtraHosts: ["host.docker.internal:host-gateway"] }
        : {}),
      IpcMode: "private",
      LogConfig: { Type: "none" },
      RestartPolicy: { Name: "no" },
      ...containerHardening(hardening, {
        seccompArchitecture: facts.seccompArchitecture,
        remapsUsers: facts.remappedRoot !== null,
        memoryBytes: limits.memoryBytes,
      }),
      ...(plan.ociRuntime === undefined ? {} : { Runtime: plan.ociRuntime }),
      ...(plan.cgroup === undefined ? {} : { CgroupParent: plan.cgroup.path }),
      ...(plan.layerBytes === undefined ? {} : { StorageOpt: { size: String(plan.layerBytes) } }),
      ShmSize: shmSize(limits),
      Ulimits: [limit("nofile", plan.processLimits.maxOpenFiles), limit("core", 0), ...limitsOfUser(plan)],
      // The engine refuses a container with a CPU limit that it can't enforce, and ignores the other two limits.
      ...(facts.limits.cpu ? { NanoCpus: Math.round(Math.min(limits.cpus, facts.cpus) * 1e9) } : {}),
      Memory: limits.memoryBytes,
      MemorySwap: limits.memoryBytes,
      PidsLimit: limits.pids * plan.overhead.pidsFactor + plan.overhead.pids,
      Mounts: [
        bind(workspace.dir, "/data", false),
        bind(workspace.readOnlyDir, "/airlock", true),
        ...[...plan.ownFiles].map(([path, file]) => bind(file, path, false)),
        ...readOnlyPaths.map((path) => bind(path, path, true)),
        ...plan.volumes,
      ],
    },
  };
}

const limit = (name: string, value: number) => ({ Name: name, Soft: value, Hard: value });

/**
 * All containers of an engine have the same users on the host, and the kernel counts for each user. So these limits
 * don't separate containers from each other. They leave a part to the machine's own programs, which share no user with
 * a rootless engine.
 */
function limitsOfUser({ facts, processLimits }: ContainerPlan): readonly object[] {
  if (facts.isRootless) return [];
  return [limit("sigpending", processLimits.pendingSignals), limit("msgqueue", processLimits.messageQueueBytes)];
}

/** A non-recursive bind mount: submounts of a read-only bind mount would stay writable. */
function bind(source: string, target: string, readOnly: boolean): object {
  return {
    Type: "bind",
    Source: source,
    Target: target,
    ReadOnly: readOnly,
    BindOptions: { Propagation: "private", NonRecursive: true },
  };
}
