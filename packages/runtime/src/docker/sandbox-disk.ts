import { access, constants } from "node:fs/promises";
import { dirname } from "node:path";
import type { SandboxLimits } from "../contract/index.ts";
import type { HostWorkspace } from "../host-disk/host-workspace.ts";
import { fileSystemBytes, unnamedFileBytes, usedBytes } from "../isolation/disk-use.ts";
import { DiskWatch } from "../isolation/disk-watch.ts";
import type { EngineClient } from "./engine-client.ts";
import { ContainerPathsReply, ContainerSizeReply, DiskUseReply } from "./engine-replies.ts";
import { seesEngineFiles } from "./visible-layers.ts";

export interface SandboxDiskOptions {
  readonly limits: SandboxLimits;
  readonly workspace: HostWorkspace;
  /** The sandbox's processes by their host pids, as far as they can be found. */
  readonly processes: () => Promise<Iterable<number>>;
}

/** Measures what one sandbox has written, in all places, and watches its disk limit. */
export class SandboxDisk {
  readonly #engine: EngineClient;
  readonly #options: SandboxDiskOptions;
  /** Layers and volumes that this process can read. */
  readonly #directories: string[] = [];
  /** Containers whose layer only the engine can measure. */
  readonly #remote: string[] = [];
  readonly #remoteVolumes = new Set<string>();
  readonly #watch: DiskWatch | undefined;

  constructor(engine: EngineClient, options: SandboxDiskOptions) {
    this.#engine = engine;
    this.#options = options;
    const { diskBytes } = options.limits;
    if (diskBytes === undefined) return;
    this.#watch = new DiskWatch({ limitBytes: diskBytes, used: () => this.#used(), free: () => this.#free() });
  }

  /**
   * Directory on the sandbox's size-limited file system for the volumes that images declare. `undefined`: the engine
   * stores them, and we only measure them.
   */
  get volumesDir(): string | undefined {
    return this.#engine.isLocal ? (this.#options.workspace.layersDir ?? undefined) : undefined;
  }

  /** Counts a directory of the executor to which steps can write. */
  addDirectory(directory: string): void {
    // The size-limited file system is counted as a whole.
    if (this.#options.workspace.layersDir === null) this.#directories.push(directory);
  }

  /** Counts what this container writes from now on. */
  async add(container: string): Promise<void> {
    if (!this.#watch) return;
    this.#watch.forget();
    const reply = await this.#engine.json(ContainerPathsReply, { path: `/containers/${container}/json` });
    const upper = reply.GraphDriver?.Data?.UpperDir;
    if (upper !== undefined && seesEngineFiles(this.#engine) && (await exists(upper))) this.#directories.push(upper);
    else this.#remote.push(container);
    // An /etc/hosts that the engine writes is beside its own data, on a disk without a limit.
    const directories = [reply.HostsPath, reply.HostnamePath, reply.ResolvConfPath]
      .filter((path) => path && !path.startsWith(`${this.#options.workspace.besideDir}/`))
      .map((path = "") => dirname(path));
    for (const directory of new Set(directories)) {
      if (seesEngineFiles(this.#engine) && (await exists(directory))) this.#directories.push(directory);
    }
    if (this.volumesDir !== undefined) return;
    for (const { Type, Source = "", Name = "" } of reply.Mounts ?? []) {
      if (Type !== "volume") continue;
      if (seesEngineFiles(this.#engine) && (await exists(Source))) this.#directories.push(Source);
      else this.#remoteVolumes.add(Name);
    }
  }

  async during<T>(step: (exceeded: AbortSignal | undefined) => Promise<T>): Promise<T> {
    return this.#watch ? await this.#watch.during(step) : await step(undefined);
  }

  async #used(): Promise<number> {
    const { dir, layersDir } = this.#options.workspace;
    const measured = await Promise.all([
      layersDir === null ? 0 : fileSystemBytes(layersDir).then(({ used }) => used),
      usedBytes([...(layersDir === null ? [dir] : []), ...this.#directories]),
      this.#options.processes().then(unnamedFileBytes),
      this.#remoteVolumeBytes(),
      ...this.#remote.map((container) => this.#layerBytes(container)),
    ]);
    return measured.reduce((sum, bytes) => sum + bytes, 0);
  }

  async #layerBytes(container: string): Promise<number> {
    const path = `/containers/${container}/json`;
    return (await this.#engine.json(ContainerSizeReply, { path, query: { size: true } })).SizeRw ?? 0;
  }

  /** Size of the remote volumes. The engine can only measure all of its volumes at once. */
  async #remoteVolumeBytes(): Promise<number> {
    if (this.#remoteVolumes.size === 0) return 0;
    const { Volumes } = await this.#engine.json(DiskUseReply, { path: "/system/df", query: { type: "volume" } });
    const own = (Volumes ?? []).filter(({ Name }) => this.#remoteVolumes.has(Name));
    return own.reduce((sum, { UsageData }) => sum + Math.max(0, UsageData?.Size ?? 0), 0);
  }

  /**
   * Free bytes of all file systems that the sandbox writes to. If one is counted twice, writes look twice as large.
   * That only makes the watch measure earlier.
   */
  async #free(): Promise<number | undefined> {
    if (this.#remote.length > 0 || this.#remoteVolumes.size > 0) return undefined;
    const { dir, layersDir } = this.#options.workspace;
    const places = [layersDir ?? dir, ...this.#directories];
    const free = await Promise.all(places.map(async (place) => (await fileSystemBytes(place)).free));
    return free.reduce((sum, bytes) => sum + bytes, 0);
  }
}

async function exists(path: string): Promise<boolean> {
  return access(path, constants.R_OK).then(
    () => true,
    () => false,
  );
}
