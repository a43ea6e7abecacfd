import { shmSize } from "../contract/check-limits.ts";
import type { SandboxPlan } from "../contract/index.ts";
import type { HostWorkspace } from "../host-disk/host-workspace.ts";
import type { Hardening } from "../isolation/hardening.ts";
import { containerHardening } from "./container-hardening.ts";
import type { EngineFacts } from "./engine-facts.ts";

/** What a container of a sandbox is made from. */
export interface ContainerPlan {
  readonly sandbox: SandboxPlan;
  readonly workspace: HostWorkspace;
  /** The image's id, so that what was checked is what runs. */
  readonly imageId: string;
  /** `none`, the sandbox's network, or `container:ID` of another one of the sandbox. */
  readonly networkMode: string;
  /** Where the engine passes the container's look-ups on to; not for a container that shares another one's network. */
  readonly nameServers: readonly string[];
  readonly facts: EngineFacts;
  readonly hardening: Hardening;
  /** The OCI runtime by the engine's name for it; `undefined`: the engine's default. */
  readonly ociRuntime: string | undefined;
  /** Whether a container with a network knows the engine's machine as `host.docker.internal`. */
  readonly addHostGateway: boolean;
  readonly overhead: ContainerOverhead;
  readonly maxOpenFiles: number;
  /** The sandbox's, where its containers can share one. */
  readonly cgroup: { readonly path: string } | undefined;
  /** Of the container's layer, where the engine's file system can hold it. */
  readonly layerBytes: number | undefined;
  /** For what the image declares as volumes. */
  readonly volumes: readonly object[];
  /** Host paths that appear read-only at the same place: the tool chain of the image `host`. */
  readonly readOnlyPaths: readonly string[];
}

export const ownerLabel = "airlock.owner";
export const sandboxLabel = "airlock.sandbox";

/** docker-init and the keeper: there before any step, so not the job's to pay for. */
export const keeperPids = 2;

/** What is there of a container besides the processes of steps, in the machine's eyes. */
export interface ContainerOverhead {
  /** Processes of the machine for each one of a step. */
  readonly pidsFactor: number;
  readonly pids: number;
}

export const plainOverhead: ContainerOverhead = { pidsFactor: 1, pids: keeperPids };

/**
 * A kernel in user space has threads of its own, and at least one more for each process inside. It does not survive a
 * thread that it is refused, so the limit is one against runaways rather than a count.
 */
export const userSpaceKernelOverhead: ContainerOverhead = { pidsFactor: 3, pids: 256 };

export const keeperReady = "airlock-ready";
export const keeperDone = "airlock-done";

const hostname = "airlock";
/** Where a container without a network finds its own name, as on Debian. */
const ownAddress = "127.0.1.1";

/** The engine fills this file only for containers that it has connected. Where it can't be written, it is the engine's. */
const nameLoopback = `[ -s /etc/hosts ] || { { echo 127.0.0.1 localhost; echo ::1 localhost; echo ${ownAddress} ${hostname}; } >/etc/hosts; } 2>/dev/null`;

/**
 * Keeps the container alive between steps and signals their processes. Its input is a connection that we hold: when the
 * executor dies, the input ends, and with it the container. `kill -1` spares PID 1 and the keeper itself, misses no
 * process that is about to fork, and being built in needs no free pid.
 */
const keeper = `${nameLoopback}; echo ${keeperReady}; while read -r s; do kill "-$s" -1 2>/dev/null; echo ${keeperDone}; done`;

/** The body of `POST /containers/create`. */
export function containerSpec(plan: ContainerPlan): object {
  const { sandbox, workspace, imageId, networkMode, nameServers, facts, hardening, readOnlyPaths, maxOpenFiles } = plan;
  const { limits } = sandbox;
  return {
    Image: imageId,
    Labels: { [ownerLabel]: sandbox.owner, [sandboxLabel]: sandbox.id },
    // The image's own wishes, each overridden: it says what is in the file system and in the environment, no more.
    Entrypoint: ["/bin/sh", "-c", keeper],
    Cmd: [],
    User: "0:0",
    WorkingDir: "/",
    Healthcheck: { Test: ["NONE"] },
    ...(networkMode.startsWith("container:") ? {} : { Hostname: hostname }),
    ...(isUnconnected(plan) ? { NetworkDisabled: true } : {}),
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
      // A container that joins another one's network shares its names, too.
      // The engine adds a container's own name only where it connects the container.
      ...(networkMode === "none" && !isUnconnected(plan) ? { ExtraHosts: [`${hostname}:${ownAddress}`] } : {}),
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
      Ulimits: [
        { Name: "nofile", Soft: maxOpenFiles, Hard: maxOpenFiles },
        { Name: "core", Soft: 0, Hard: 0 },
      ],
      NanoCpus: Math.round(Math.min(limits.cpus, facts.cpus) * 1e9),
      Memory: limits.memoryBytes,
      MemorySwap: limits.memoryBytes,
      PidsLimit: limits.pids * plan.overhead.pidsFactor + plan.overhead.pids,
      Mounts: [
        bind(workspace.dir, "/data", false),
        bind(workspace.readOnlyDir, "/airlock", true),
        ...readOnlyPaths.map((path) => bind(path, path, true)),
        ...plan.volumes,
      ],
    },
  };
}

/** Without what is mounted below: a read-only bind mount leaves submounts writable. */
function bind(source: string, target: string, readOnly: boolean): object {
  return {
    Type: "bind",
    Source: source,
    Target: target,
    ReadOnly: readOnly,
    BindOptions: { Propagation: "private", NonRecursive: true },
  };
}

/**
 * A network namespace that the OCI runtime makes, with nothing but its loopback. For `none` the engine would run itself
 * once more in the middle of the start to do the same, which takes as long as all the rest. Only the engine fills
 * `/etc/hosts` of a read-only root, though, and only for what it has connected.
 */
function isUnconnected({ networkMode, hardening }: ContainerPlan): boolean {
  return networkMode === "none" && !hardening.readOnlyRoot;
}
