import { access, constants } from "node:fs/promises";
import type { SandboxPlan } from "../contract.ts";
import { directoryBytes, fileSystemBytes, unnamedFileBytes } from "./disk-use.ts";
import { DiskWatch } from "./disk-watch.ts";
import type { EngineClient } from "./engine-client.ts";
import { ContainerPathsReply, ContainerSizeReply } from "./engine-replies.ts";
import type { VolumeKeeping } from "./image-volumes.ts";

export interface SandboxDiskOptions {
  readonly plan: SandboxPlan;
  /** The sandbox's processes as this machine numbers them, as far as they can be found. */
  readonly processes: () => Promise<Iterable<number>>;
}

/** What one sandbox has written, wherever that is, and the watch over it. */
export class SandboxDisk {
  readonly #engine: EngineClient;
  readonly #options: SandboxDiskOptions;
  /** Layers and volumes that this process can look into. */
  readonly #directories: string[] = [];
  /** Containers whose layer only the engine can measure. */
  readonly #remote: string[] = [];
  readonly #watch: DiskWatch | undefined;

  constructor(engine: EngineClient, options: SandboxDiskOptions) {
    this.#engine = engine;
    this.#options = options;
    const { diskBytes } = options.plan.limits;
    if (diskBytes === undefined) return;
    this.#watch = new DiskWatch({ limitBytes: diskBytes, used: () => this.#used(), free: () => this.#free() });
  }

  /** For the volumes that images declare. */
  get volumes(): VolumeKeeping {
    const { layersDir, limits } = this.#options.plan;
    if (layersDir !== undefined && this.#engine.isLocal) return { kind: "layers", layersDir };
    if (limits.diskBytes === undefined || seesEngineFiles(this.#engine)) return { kind: "watched" };
    return { kind: "memory", bytes: limits.memoryBytes };
  }

  /** From now on what this container writes counts. */
  async add(container: string): Promise<void> {
    if (!this.#watch) return;
    this.#watch.forget();
    const reply = await this.#engine.json(ContainerPathsReply, { path: `/containers/${container}/json` });
    const upper = reply.GraphDriver?.Data?.UpperDir;
    if (upper !== undefined && seesEngineFiles(this.#engine) && (await exists(upper))) this.#directories.push(upper);
    else this.#remote.push(container);
    if (this.volumes.kind !== "watched") return;
    const volumes = (reply.Mounts ?? []).filter(({ Type }) => Type === "volume").map(({ Source = "" }) => Source);
    for (const volume of volumes) if (await exists(volume)) this.#directories.push(volume);
  }

  async during<T>(step: (exceeded: AbortSignal | undefined) => Promise<T>): Promise<T> {
    return this.#watch ? await this.#watch.during(step) : await step(undefined);
  }

  async #used(): Promise<number> {
    const { workspaceDir, layersDir } = this.#options.plan;
    const [own, walked, unnamed, ...measured] = await Promise.all([
      layersDir === undefined ? 0 : fileSystemBytes(layersDir).then(({ used }) => used),
      directoryBytes([...(layersDir === undefined ? [workspaceDir] : []), ...this.#directories]),
      this.#options.processes().then(unnamedFileBytes),
      ...this.#remote.map((container) => this.#layerBytes(container)),
    ]);
    return measured.reduce((sum, bytes) => sum + bytes, own + walked + unnamed);
  }

  async #layerBytes(container: string): Promise<number> {
    const path = `/containers/${container}/json`;
    return (await this.#engine.json(ContainerSizeReply, { path, query: { size: true } })).SizeRw ?? 0;
  }

  /** Of all file systems that the sandbox writes to; one counted twice looks fuller than it is, which is the safe side. */
  async #free(): Promise<number | undefined> {
    if (this.#remote.length > 0) return undefined;
    const { workspaceDir, layersDir } = this.#options.plan;
    const places = [layersDir ?? workspaceDir, ...this.#directories];
    const free = await Promise.all(places.map(async (place) => (await fileSystemBytes(place)).free));
    return free.reduce((sum, bytes) => sum + bytes, 0);
  }
}

/** The engine's data are root's. */
function seesEngineFiles(engine: EngineClient): boolean {
  return engine.isLocal && process.geteuid?.() === 0;
}

async function exists(path: string): Promise<boolean> {
  return access(path, constants.R_OK).then(
    () => true,
    () => false,
  );
}
