import { mkdir } from "node:fs/promises";
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
import {
  onlyMachinesHaveDocker,
  refuseDocker,
  refuseUnenforcedLimits,
  runtimeFailed,
  type UnenforcedLimits,
} from "../contract/index.ts";
import { EgressEngines, type EgressOptions } from "../egress/index.ts";
import { type CgroupHost, findCgroupHost } from "../host/cgroups/cgroup-host.ts";
import {
  defaultIds,
  defaultIdsPerSandbox,
  type IdRange,
  isUnmapped,
  problemOfIdRange,
  sharedIds,
} from "../host/id-range.ts";
import { loadNetworkCalls } from "../host/network-calls.ts";
import { removeTree } from "../host/remove-tree.ts";
import { HostDiskSandbox } from "../host-disk/host-disk-sandbox.ts";
import { HostWorkspaces, type WorkspaceOptions, type WorkspaceOwner } from "../host-disk/host-workspaces.ts";
import type { ImageLimits } from "../images/manifest/image-limits.ts";
import type { ImageOptions } from "../images/policy/image-options.ts";
import type { RegistryOptions } from "../images/registry/registry-client.ts";
import { ImageStore } from "../images/store/image-store.ts";
import { defaultHardening, type Hardening, relaxations } from "../isolation/hardening.ts";
import { type ProcessLimits, processLimits } from "../isolation/process-limits.ts";
import { collectSandboxes } from "./collect.ts";
import { findSeparateUsers } from "./find-separate-users.ts";
import { type GvisorOptions, gvisorProcesses } from "./gvisor.ts";
import { openNetwork, type ServiceCalls } from "./network.ts";
import { OciSandbox, type OciSandboxParts } from "./oci-sandbox.ts";
import { probeOverlay } from "./overlay-probe.ts";
import { findRuntimeBinary, type RuntimeBinary } from "./runtime-binary.ts";
import { SandboxUsers } from "./sandbox-users.ts";
import { SeparateUsers } from "./separate-users.ts";
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
  /**
   * Host ids for the users in sandboxes, if the executor runs as root. Several executors may have the same: locks keep
   * them apart. Default: {@link defaultIds}, or {@link sharedIds} where those don't exist.
   */
  readonly ids?: IdRange;
  /** Number of ids of each sandbox. Default: 65536. */
  readonly idsPerSandbox?: number;
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
  if (!isAbsolute(options.stateDir))
    throw runtimeFailed(`the state directory "${options.stateDir}" is not an absolute path`);
  const isRoot = process.geteuid?.() === 0;
  const cgroupHost = await findCgroupHost();
  // crun refuses to run where it sees cgroup2 beside v1, and only root can hide that mount from it.
  const kinds = !isRoot && cgroupHost.hiddenFromCrun.length > 0 ? (["runc"] as const) : (["crun", "runc"] as const);
  const binary = await findRuntimeBinary(options.runtimePath, { isRoot, usual: kinds });
  const hardening = { ...defaultHardening, ...options.hardening };
  const ids = options.ids ?? ((await isUnmapped(defaultIds)) ? sharedIds : defaultIds);
  const size = options.idsPerSandbox ?? defaultIdsPerSandbox;
  const badIds =
    problemOfIdRange(ids) ?? (ids.size < size ? `has fewer ids than one sandbox needs, ${size}` : undefined);
  if (badIds !== undefined) throw runtimeFailed(`the range of ids ${ids.base}:${ids.size} ${badIds}`);
  // gVisor's kernel has its own users, and its processes drop their privileges on the host.
  const found = isRoot && hardening.userNamespace && binary.kind !== "runsc" ? await findUserNamespaces(ids) : null;
  const userNamespaces = found && "stageDirectory" in found ? found : null;
  const sandboxesDirectory = join(options.stateDir, "sandboxes");
  try {
    await mkdir(sandboxesDirectory, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw runtimeFailed("the state directory cannot be used", error, "Check its path, owner and file system.");
  }
  const overlayOptions = isRoot ? await probeOverlay(sandboxesDirectory) : null;
  const limits = await processLimits();
  const separate =
    userNamespaces && overlayOptions
      ? await findSeparateUsers({ ids, size, directory: sandboxesDirectory, limits })
      : { problem: "The file system of the state directory can't have overlays." };
  const separateUsers = separate instanceof SeparateUsers ? separate : null;
  const sharedRange = { base: ids.base, size };
  const images = await ImageStore.open({
    directory: join(options.stateDir, "images"),
    style: overlayOptions === null ? "flat" : "overlay",
    keepOwners: isRoot,
    // Each sandbox mounts the layers with owners of its own.
    idRange: separateUsers ? { base: 0, size } : userNamespaces ? sharedRange : null,
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
    limits,
    egress: new EgressEngines(options.egress ?? {}),
    serviceCalls: await findServiceCalls(isRoot, binary, options.gvisor),
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
    separateUsers,
    sharedRange,
    noSeparateUsers: "problem" in separate ? separate.problem : null,
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
  readonly limits: ProcessLimits;
  readonly egress: EgressEngines;
  readonly serviceCalls: ServiceCalls;
  readonly workspaces: HostWorkspaces;
  readonly rootless: { readonly uid: number; readonly gid: number } | null;
  readonly hardening: Hardening;
  readonly userNamespaces: UserNamespaces | null;
  /** Why user namespaces are unavailable although the settings require them, in one sentence. */
  readonly noUserNamespaces: string | null;
  /** What gives each sandbox its own range of host ids; `null`: all have the same. */
  readonly separateUsers: SeparateUsers | null;
  readonly sharedRange: IdRange;
  /** Why all sandboxes have the same range, in one sentence. */
  readonly noSeparateUsers: string | null;
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
          (noUserNamespaces ?? "The executor's settings ask for this."),
      );
    } else if (!rootless && !this.#parts.separateUsers) {
      notes.push(
        `All sandboxes have the same users on the host, so they share what the kernel allows each user. ${this.#parts.noSeparateUsers}`,
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
      ...(cgroupHost.problem === null ? {} : { limitsProblem: cgroupHost.problem }),
      checkoutOwner: this.#sharedOwner,
      mountsCheckoutLayers: await this.#mountsCheckoutLayers(signal),
      ...(egress.public || egress.notes[0] === undefined ? {} : { egressProblem: egress.notes[0] }),
      dockerProblem: onlyMachinesHaveDocker,
      hasHostImage: true,
      ...("problem" in this.#parts.serviceCalls ? { servicesProblem: this.#parts.serviceCalls.problem } : {}),
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
      throw runtimeFailed(`"${plan.owner}" and "${plan.id}" are not valid in a sandbox's name`);
    }
    checkLimits(plan.limits);
    const { options, ...parts } = this.#parts;
    refuseDocker(plan, onlyMachinesHaveDocker);
    refuseUnenforcedLimits(options.unenforcedLimits ?? "refuse", enforcementOf(parts.cgroupHost));
    await using undo = new AsyncDisposableStack();
    try {
      const owned = join(parts.sandboxesDirectory, plan.owner);
      await mkdir(owned, { recursive: true, mode: 0o700 });
      const directory = join(owned, plan.id);
      await mkdir(directory, { mode: 0o700 });
      undo.defer(() => removeTree(directory));
      const users = await this.#openUsers(directory, undo, { signal });
      const workspace = undo.use(await parts.workspaces.create(plan, users, { signal }));
      undo.defer(() => parts.cgroupHost.open(plan.owner, plan.id).remove());
      const cgroup = await parts.cgroupHost.create(plan.owner, plan.id, {
        ...plan.limits,
        pids: plan.limits.pids + (parts.binary.kind === "runsc" ? gvisorProcesses : 0),
      });
      const ways = { engines: parts.egress, calls: parts.serviceCalls };
      const network = undo.use(await openNetwork(plan, ways, { signal }));
      const sandbox = await OciSandbox.create({
        ...parts,
        ...users,
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
      throw runtimeFailed(`cannot create the sandbox ${plan.id}`, error);
    }
  }

  collect(options: { readonly owner: string; readonly keep: ReadonlySet<string> } & Abortable): Promise<Collected> {
    return collectSandboxes(this.#parts, this.#parts.egress.for(options.owner), options);
  }

  /** Host ids of the root user of every container; `null`: those of this process, or each sandbox has its own. */
  get #sharedOwner(): FileOwner | null {
    const { separateUsers, userNamespaces, sharedRange } = this.#parts;
    return userNamespaces && !separateUsers ? { uid: sharedRange.base, gid: sharedRange.base } : null;
  }

  async #mountsCheckoutLayers(signal: AbortSignal): Promise<boolean> {
    const { separateUsers, workspaces } = this.#parts;
    return separateUsers !== null && (await workspaces.areOverlays(signal));
  }

  async #openUsers(directory: string, undo: AsyncDisposableStack, { signal }: Abortable): Promise<SandboxFiles> {
    const { separateUsers, userNamespaces, sharedRange, images } = this.#parts;
    const { layersDirectory } = images;
    if (!userNamespaces) return { owner: null, mountOwned: null, users: null, layersDirectory, endUsers: () => {} };
    const { stageDirectory } = userNamespaces;
    if (!separateUsers) {
      const users = { range: sharedRange, namespacePath: null, stageDirectory };
      return { owner: this.#sharedOwner, mountOwned: null, users, layersDirectory, endUsers: () => {} };
    }
    const users = undo.use(await SandboxUsers.open(separateUsers, directory, { signal }));
    const layers = join(directory, "layers");
    await mkdir(layers, { mode: 0o700 });
    users.mount(layersDirectory, layers);
    return {
      owner: users.root,
      mountOwned: (tree, target) => users.mount(tree, target),
      users: { range: users.range, namespacePath: users.namespacePath, stageDirectory },
      layersDirectory: layers,
      endUsers: () => users[Symbol.dispose](),
    };
  }

  evictImages(options: Abortable): Promise<readonly string[]> {
    return this.#parts.images.evict(options);
  }

  loadImages(archivePath: string, options: Abortable): Promise<string[]> {
    return this.#parts.images.load(archivePath, options);
  }

  async close(): Promise<void> {
    await this.#parts.workspaces.close();
    await this.#parts.separateUsers?.close();
    await this.#parts.egress.close();
    await this.#parts.images.close();
  }
}

function enforcementOf({ enforces, problem }: CgroupHost): LimitEnforcement {
  return { enforces, ...(problem === null ? {} : { limitsProblem: problem }) };
}

/** The users of one sandbox, and who its files belong to. */
interface SandboxFiles extends WorkspaceOwner, Pick<OciSandboxParts, "users" | "layersDirectory" | "endUsers"> {}

async function findServiceCalls(
  isRoot: boolean,
  binary: RuntimeBinary,
  gvisor: GvisorOptions = {},
): Promise<ServiceCalls> {
  if (!isRoot) return { problem: "Only root can listen in a sandbox's network: run the executor as root." };
  if (binary.kind === "runsc" && gvisor.network === "sandbox") {
    return {
      problem:
        "The executor can't listen on the loopback of gVisor's own network stack: run gVisor with its network setting host.",
    };
  }
  return await loadNetworkCalls();
}
