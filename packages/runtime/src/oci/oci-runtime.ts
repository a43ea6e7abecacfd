import { mkdir, readFile } from "node:fs/promises";
import { isAbsolute, join } from "node:path";
import { AirlockError } from "@airlock/job";
import { checkLimits } from "../contract/check-limits.ts";
import type {
  Abortable,
  Collected,
  FileOwner,
  LimitEnforcement,
  Runtime,
  RuntimeDescription,
  Sandbox,
  SandboxPlan,
} from "../contract/index.ts";
import { refuseUnenforcedLimits, runtimeFailed, type UnenforcedLimits } from "../contract/index.ts";
import { EgressEngines, type EgressOptions } from "../egress/index.ts";
import { type CgroupHost, findCgroupHost } from "../host/cgroups/cgroup-host.ts";
import { defaultIdRange, type IdRange, problemOfIdRange } from "../host/id-range.ts";
import { removeTree } from "../host/remove-tree.ts";
import { HostDiskSandbox } from "../host-disk/host-disk-sandbox.ts";
import { HostWorkspaces, type WorkspaceOptions } from "../host-disk/host-workspaces.ts";
import type { ImageLimits } from "../images/manifest/image-limits.ts";
import type { ImageOptions } from "../images/policy/image-options.ts";
import type { RegistryOptions } from "../images/registry/registry-client.ts";
import { ImageStore } from "../images/store/image-store.ts";
import { defaultHardening, type Hardening, relaxations } from "../isolation/hardening.ts";
import { collectSandboxes } from "./collect.ts";
import { type GvisorOptions, gvisorProcesses } from "./gvisor.ts";
import { openNetwork } from "./network.ts";
import { OciSandbox } from "./oci-sandbox.ts";
import { probeOverlay } from "./overlay-probe.ts";
import { findRuntimeBinary, type RuntimeBinary } from "./runtime-binary.ts";
import { findUserNamespaces, type UserNamespaces } from "./user-namespace.ts";

export interface OciRuntimeOptions {
  /**
   * Absolute path of the directory with images and sandboxes. Several executors may share it. Created, private to this
   * user, if it is missing.
   */
  readonly stateDir: string;
  /**
   * Absolute path of crun, runc or runsc (gVisor), or its name on the system's search path. Default: crun, else runc.
   */
  readonly runtimePath?: string;
  readonly gvisor?: GvisorOptions;
  /** Whether jobs may use the image name `host`, which is the host's own toolchain, read-only. */
  readonly allowHostImage: boolean;
  /** Path and settings of workspaces. Default: `workspaces` in the state directory. */
  readonly workspaces?: WorkspaceOptions;
  readonly registry?: RegistryOptions;
  readonly imageLimits?: Partial<ImageLimits>;
  /** Which images are permitted, and how they are pulled. */
  readonly images?: Partial<ImageOptions>;
  /** Settings for egress policies: addresses, name servers, and closed ranges. */
  readonly egress?: EgressOptions;
  /** The administrator's changes to {@link defaultHardening}. */
  readonly hardening?: Partial<Hardening>;
  /** What happens to sandboxes whose limits this host can't enforce. Default: `refuse`. */
  readonly unenforcedLimits?: UnenforcedLimits;
  /** Host ids for the users in containers, if the executor runs as root. Default: 100000 to 165535. */
  readonly idRange?: IdRange;
}

/** The runtime without a daemon. It pulls and unpacks images itself, and runs them with `crun`, `runc` or `runsc`. */
export interface OciRuntime extends Runtime {
  /**
   * Adds the images of an OCI layout (directory or tar) or of a `docker save` archive. Resolves to their references.
   * @throws {AirlockError} reason `image-invalid`.
   */
  loadImages(archivePath: string, options: Abortable): Promise<string[]>;
}

/** @throws {AirlockError} reason `runtime` when there is no OCI runtime or the state directory is unusable. */
export async function createOciRuntime(options: OciRuntimeOptions): Promise<OciRuntime> {
  if (!isAbsolute(options.stateDir)) throw runtimeFailed(`the state directory "${options.stateDir}" is not absolute`);
  const isRoot = process.geteuid?.() === 0;
  const cgroupHost = await findCgroupHost();
  // crun refuses to run where it sees cgroup2 beside v1, and only root can hide that mount from it.
  const kinds = !isRoot && cgroupHost.hiddenFromCrun.length > 0 ? (["runc"] as const) : (["crun", "runc"] as const);
  const binary = await findRuntimeBinary(options.runtimePath, { isRoot, usual: kinds });
  const hardening = { ...defaultHardening, ...options.hardening };
  const idRange = options.idRange ?? defaultIdRange;
  const badRange = problemOfIdRange(idRange);
  if (badRange !== undefined) throw runtimeFailed(`the range of ids ${idRange.base}:${idRange.size} ${badRange}`);
  // gVisor's kernel has its own users, and its processes drop their privileges on the host.
  const found = isRoot && hardening.userNamespace && binary.kind !== "runsc" ? await findUserNamespaces(idRange) : null;
  const userNamespaces = found && "range" in found ? found : null;
  const sandboxesDirectory = join(options.stateDir, "sandboxes");
  try {
    await mkdir(sandboxesDirectory, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw runtimeFailed("the state directory can't be used", error, "Check its path, owner and file system.");
  }
  const overlayOptions = isRoot ? await probeOverlay(sandboxesDirectory) : null;
  const images = await ImageStore.open({
    directory: join(options.stateDir, "images"),
    style: overlayOptions === null ? "flat" : "overlay",
    keepOwners: isRoot,
    idRange: userNamespaces?.range ?? null,
    registry: options.registry ?? {},
    images: options.images ?? {},
    ...(options.imageLimits ? { limits: options.imageLimits } : {}),
  });
  return new CreatedOciRuntime({
    options,
    binary,
    sandboxesDirectory,
    gvisor: options.gvisor ?? {},
    overlayOptions,
    images,
    cgroupHost,
    maxOpenFiles: await hardOpenFilesLimit(),
    egress: new EgressEngines(options.egress ?? {}),
    // Steps are children of this process, so they see its mounts.
    workspaces: new HostWorkspaces({
      dir: join(options.stateDir, "workspaces"),
      ...options.workspaces,
      findsHostFile: async () => true,
    }),
    rootless: isRoot ? null : { uid: process.geteuid?.() ?? 0, gid: process.getegid?.() ?? 0 },
    hardening,
    userNamespaces,
    noUserNamespaces: found && "problem" in found ? found.problem : null,
  });
}

interface Parts {
  readonly options: OciRuntimeOptions;
  readonly binary: RuntimeBinary;
  readonly sandboxesDirectory: string;
  readonly gvisor: GvisorOptions;
  readonly overlayOptions: readonly string[] | null;
  readonly images: ImageStore;
  readonly cgroupHost: CgroupHost;
  readonly maxOpenFiles: number;
  readonly egress: EgressEngines;
  readonly workspaces: HostWorkspaces;
  readonly rootless: { readonly uid: number; readonly gid: number } | null;
  readonly hardening: Hardening;
  readonly userNamespaces: UserNamespaces | null;
  /** Why user namespaces are unavailable although the settings require them, in one sentence. */
  readonly noUserNamespaces: string | null;
}

class CreatedOciRuntime implements OciRuntime {
  readonly name = "oci";
  readonly #parts: Parts;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  async describe({ signal }: Abortable): Promise<RuntimeDescription> {
    signal.throwIfAborted();
    const { cgroupHost, overlayOptions, binary, rootless } = this.#parts;
    const { cpu, memory, pids } = cgroupHost.enforces;
    const egress = await this.#parts.egress.capabilities();
    const notes: string[] = [];
    if (cgroupHost.problem !== null) notes.push(cgroupHost.problem);
    if (memory && !cgroupHost.countsSwap) {
      notes.push("Memory limits do not count swap; boot with swapaccount=1, or without swap.");
    }
    if (overlayOptions === null) {
      notes.push("Each step copies its image; run the executor as root on a file system that overlayfs can use.");
    }
    if (binary.kind === "runsc") {
      notes.push(
        "Steps run on gVisor's kernel, without a user namespace of the host's; limits of processes count what gVisor itself needs for them.",
      );
    } else if (!rootless && !this.#parts.userNamespaces) {
      const { noUserNamespaces } = this.#parts;
      notes.push(
        "Root in a sandbox is root on the host with few capabilities; steps have no user namespace. " +
          (noUserNamespaces ?? "That is what the executor's settings ask for."),
      );
    }
    return {
      version: binary.version,
      components: [{ name: binary.kind, version: binary.version.slice(binary.kind.length + 1) }],
      enforces: {
        cpu,
        memory,
        pids,
        egressNone: true,
        egressPublic: egress.public,
        egressAllow: egress.allow,
        disk: "file-system",
      },
      checkoutOwner: this.#filesOwner,
      ...(cgroupHost.problem === null ? {} : { limitsProblem: cgroupHost.problem }),
      ...(egress.public || egress.notes[0] === undefined ? {} : { egressProblem: egress.notes[0] }),
      notes: [
        ...notes,
        ...(await this.#parts.workspaces.notes(signal)),
        ...relaxations({ ...this.#parts.hardening, userNamespace: true }),
        ...egress.notes,
        ...egress.linkNotes,
      ],
    };
  }

  async createSandbox(plan: SandboxPlan, { signal }: Abortable): Promise<Sandbox> {
    signal.throwIfAborted();
    if (!/^[a-z0-9-]{1,60}$/.test(plan.id) || !/^[a-z0-9-]{1,40}$/.test(plan.owner)) {
      throw runtimeFailed(`"${plan.owner}" and "${plan.id}" can't name a sandbox`);
    }
    checkLimits(plan.limits);
    const { options, ...parts } = this.#parts;
    refuseUnenforcedLimits(options.unenforcedLimits ?? "refuse", enforcementOf(parts.cgroupHost));
    await using undo = new AsyncDisposableStack();
    try {
      const workspace = undo.use(await parts.workspaces.create(plan, this.#filesOwner, { signal }));
      const owned = join(parts.sandboxesDirectory, plan.owner);
      await mkdir(owned, { recursive: true, mode: 0o700 });
      const directory = join(owned, plan.id);
      await mkdir(directory, { mode: 0o700 });
      undo.defer(() => removeTree(directory));
      undo.defer(() => parts.cgroupHost.open(plan.owner, plan.id).remove());
      const cgroup = await parts.cgroupHost.create(plan.owner, plan.id, {
        ...plan.limits,
        pids: plan.limits.pids + (parts.binary.kind === "runsc" ? gvisorProcesses : 0),
      });
      const network = undo.use(await openNetwork(plan, parts.egress, { signal }));
      const sandbox = await OciSandbox.create({
        ...parts,
        plan,
        workspace,
        directory,
        cgroup,
        network,
        allowHostImage: options.allowHostImage,
      });
      signal.throwIfAborted();
      undo.move();
      return new HostDiskSandbox(plan.id, workspace, sandbox);
    } catch (error) {
      if (signal.aborted) throw signal.reason;
      if (error instanceof AirlockError) throw error;
      throw runtimeFailed(`cannot make the sandbox ${plan.id}`, error);
    }
  }

  collect(options: { readonly owner: string; readonly keep: ReadonlySet<string> } & Abortable): Promise<Collected> {
    return collectSandboxes(this.#parts, this.#parts.egress.for(options.owner), options);
  }

  /** Host ids of a container's root user. */
  get #filesOwner(): FileOwner | null {
    const range = this.#parts.userNamespaces?.range;
    return range ? { uid: range.base, gid: range.base } : null;
  }

  evictImages(options: Abortable): Promise<readonly string[]> {
    return this.#parts.images.evict(options);
  }

  loadImages(archivePath: string, options: Abortable): Promise<string[]> {
    return this.#parts.images.load(archivePath, options);
  }

  async close(): Promise<void> {
    await this.#parts.workspaces.close();
    await this.#parts.egress.close();
    await this.#parts.images.close();
  }
}

function enforcementOf({ enforces, problem }: CgroupHost): LimitEnforcement {
  return { enforces, ...(problem === null ? {} : { limitsProblem: problem }) };
}

/** The hard limit of this process. A higher limit needs a capability, and programs rely on the limit that they see. */
async function hardOpenFilesLimit(): Promise<number> {
  const line = /^Max open files\s+\S+\s+(\S+)/m.exec(await readFile("/proc/self/limits", "utf8"));
  const hard = Number(line?.[1]);
  return Number.isFinite(hard) ? Math.min(hard, 1 << 20) : 1 << 20;
}
