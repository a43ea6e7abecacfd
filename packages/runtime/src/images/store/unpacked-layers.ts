import { randomUUID } from "node:crypto";
import { chown, mkdir, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { AirlockError } from "@airlock/job";
import type { Abortable } from "../../contract/index.ts";
import { imageInvalid, runtimeFailed } from "../../contract/index.ts";
import { errorCode } from "../../host/error-code.ts";
import type { IdRange } from "../../host/id-range.ts";
import type { BlobStore } from "../blobs/blob-store.ts";
import { chainIds } from "../manifest/chain-id.ts";
import type { ImageLimits } from "../manifest/image-limits.ts";
import { flatName, layerName } from "../manifest/image-parts.ts";
import type { StoredImage } from "../pulls/pull-image.ts";
import { SharedTasks, type TaskOptions } from "../pulls/shared-tasks.ts";
import { LayerError } from "../unpack/layer-error.ts";
import { LayerStack } from "../unpack/layer-stack.ts";
import { LayerTree } from "../unpack/layer-tree.ts";
import { UnpackBudget } from "../unpack/unpack-budget.ts";
import { unpackLayer } from "../unpack/unpack-layer.ts";
import { flatWhiteouts, overlayWhiteouts, WhiteoutDevice } from "../unpack/whiteouts.ts";
import type { ProvenParts } from "./proven-parts.ts";

export interface UnpackedLayersOptions {
  readonly directory: string;
  readonly temporaryDirectory: string;
  readonly blobs: BlobStore;
  readonly limits: ImageLimits;
  /** `overlay`: each layer has its own directory. `flat`: all layers of an image are in one. */
  readonly style: "overlay" | "flat";
  readonly keepOwners: boolean;
  readonly idRange: IdRange | null;
}

/** Unpacked layers. Each directory is created elsewhere and renamed into place. */
export class UnpackedLayers {
  readonly #options: UnpackedLayersOptions;
  readonly #whiteoutDevice: WhiteoutDevice;
  readonly #unpacking = new SharedTasks<void>();

  constructor(options: UnpackedLayersOptions) {
    this.#options = options;
    this.#whiteoutDevice = new WhiteoutDevice(options.temporaryDirectory);
  }

  /**
   * Unpacks the missing layers of an image and returns the names of all its layers, topmost first.
   * @throws {AirlockError} reason `image-invalid` or `runtime`.
   */
  async unpack(image: string, stored: StoredImage, proven: ProvenParts, task: TaskOptions): Promise<readonly string[]> {
    const diffIds = stored.config.rootfs.diff_ids ?? [];
    const chain = chainIds(diffIds);
    const budget = new UnpackBudget(this.#options.limits);
    const below: string[] = [];
    const isProven = (index: number) =>
      proven.hasLayer(stored.manifest.layers[index]?.digest ?? "", layerName(chain[index] ?? ""));
    if (this.#options.style === "overlay") {
      for (const [index, chainId] of chain.entries()) {
        const name = layerName(chainId);
        await this.#unpackOnce(image, name, isProven(index), task, async (directory, { signal }) => {
          task.progress(`unpacking layer ${index + 1} of ${chain.length}`);
          await this.#unpackOver(directory, stored, index, below, budget, signal);
        });
        below.unshift(name);
      }
    } else {
      const name = flatName(chain);
      const all = [...chain.keys()].every(isProven);
      await this.#unpackOnce(image, name, all, task, async (directory, { signal }) => {
        for (const index of chain.keys()) {
          task.progress(`unpacking layer ${index + 1} of ${chain.length}`);
          await this.#unpackOver(directory, stored, index, undefined, budget, signal);
        }
      });
      below.unshift(name);
    }
    return below;
  }

  /**
   * Unpacks a layer once, even if two images that share it are unpacked at the same time. An existing layer that is not
   * proven to be this one is unpacked again. That verifies it against the configuration, and the existing one stays.
   */
  async #unpackOnce(
    image: string,
    name: string,
    isProven: boolean,
    task: TaskOptions,
    work: (directory: string, options: Abortable) => Promise<void>,
  ): Promise<void> {
    if (isProven && (await this.areThere([name]))) return;
    await this.#unpacking.run(isProven ? name : `${name} of ${image}`, task, async (options) => {
      const directory = join(this.#options.temporaryDirectory, `${process.pid}-${randomUUID()}`);
      try {
        await mkdir(directory, { mode: 0o755 });
        const { idRange } = this.#options;
        // A layer need not contain an owner for its root.
        if (idRange && this.#options.keepOwners) await chown(directory, idRange.base, idRange.base);
        await work(directory, options);
        await rename(directory, join(this.#options.directory, name)).catch((error: unknown) => {
          // Another process has created the same content meanwhile.
          if (errorCode(error) !== "ENOTEMPTY" && errorCode(error) !== "EEXIST") throw error;
        });
      } catch (error) {
        options.signal.throwIfAborted();
        if (error instanceof LayerError) throw imageInvalid(image, `has a bad layer: ${error.message}`, error);
        if (error instanceof AirlockError) throw error;
        throw runtimeFailed(`cannot unpack image "${image}"`, error, "Check the free space of the state directory.");
      } finally {
        await rm(directory, { recursive: true, force: true });
      }
    });
  }

  async #unpackOver(
    directory: string,
    stored: StoredImage,
    index: number,
    belowNames: readonly string[] | undefined,
    budget: UnpackBudget,
    signal: AbortSignal,
  ): Promise<void> {
    const layer = stored.manifest.layers[index];
    const diffId = stored.config.rootfs.diff_ids?.[index];
    if (!layer || !diffId) throw new LayerError("it is not in the manifest");
    const below = new LayerStack((belowNames ?? []).map((name) => join(this.#options.directory, name)));
    const tree = new LayerTree({
      root: directory,
      keepOwners: this.#options.keepOwners,
      idRange: this.#options.idRange,
      directoryBelow: async (path) => {
        const entry = await below.lstat(path);
        return entry?.stats.isDirectory() ? entry.stats : undefined;
      },
    });
    const style = belowNames ? overlayWhiteouts(tree, below, this.#whiteoutDevice) : flatWhiteouts(tree);
    const content = {
      stream: this.#options.blobs.stream(layer.digest),
      storedBytes: await this.#options.blobs.size(layer.digest),
      diffId,
    };
    await unpackLayer(content, tree, style, { budget, signal });
  }

  /** Whether all layers of these names exist. */
  async areThere(layers: readonly string[]): Promise<boolean> {
    for (const name of layers) {
      try {
        await stat(join(this.#options.directory, name));
      } catch (error) {
        if (errorCode(error) === "ENOENT") return false;
        throw error;
      }
    }
    return true;
  }
}
