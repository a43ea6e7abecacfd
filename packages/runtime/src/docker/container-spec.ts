import type { SandboxPlan } from "../contract.ts";
import { defaultCapabilities } from "../hardening.ts";

/** What a container of a sandbox is made from. */
export interface ContainerPlan {
  readonly sandbox: SandboxPlan;
  /** The image's id, so that what was checked is what runs. */
  readonly imageId: string;
  /** `none`, the sandbox's network, or `container:ID` of another one of the sandbox. */
  readonly networkMode: string;
  /** Where the engine passes the container's look-ups on to; not for a container that shares another one's network. */
  readonly nameServers: readonly string[];
  /** Of the machine: the engine refuses to give more. */
  readonly machineCpus: number;
  /** Host paths that appear read-only at the same place: the tool chain of the image `host`. */
  readonly readOnlyPaths: readonly string[];
}

export const ownerLabel = "airlock.owner";
export const sandboxLabel = "airlock.sandbox";

/** docker-init and the keeper: there before any step, so not the job's to pay for. */
export const keeperPids = 2;

export const keeperReady = "airlock-ready";
export const keeperDone = "airlock-done";

/**
 * Keeps the container alive between steps and signals their processes. Its input is a connection that we hold: when the
 * executor dies, the input ends, and with it the container. `kill -1` spares PID 1 and the keeper itself, misses no
 * process that is about to fork, and being built in needs no free pid.
 */
const keeper = `echo ${keeperReady}; while read -r s; do kill "-$s" -1 2>/dev/null; echo ${keeperDone}; done`;

/** The body of `POST /containers/create`. */
export function containerSpec(plan: ContainerPlan): object {
  const { sandbox, imageId, networkMode, nameServers, machineCpus, readOnlyPaths } = plan;
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
    ...(networkMode.startsWith("container:") ? {} : { Hostname: "airlock" }),
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
      IpcMode: "private",
      LogConfig: { Type: "none" },
      RestartPolicy: { Name: "no" },
      CapDrop: ["ALL"],
      CapAdd: defaultCapabilities,
      SecurityOpt: ["no-new-privileges:true"],
      NanoCpus: Math.round(Math.min(limits.cpus, machineCpus) * 1e9),
      Memory: limits.memoryBytes,
      MemorySwap: limits.memoryBytes,
      PidsLimit: limits.pids + keeperPids,
      Mounts: [
        bind(sandbox.workspaceDir, "/data", false),
        bind(sandbox.scriptsDir, "/airlock", true),
        ...readOnlyPaths.map((path) => bind(path, path, true)),
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
