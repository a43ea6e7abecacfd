import type { Stats } from "node:fs";
import { mkdir, readdir, rm, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import type { AirlockError } from "@airlock/job";
import type { Abortable, RegistryCredentials } from "../../contract/index.ts";
import { imageUnusable, refusedByPolicy, runtimeFailed } from "../../contract/index.ts";
import { hostId, type IdRange } from "../../host/id-range.ts";
import { BlobStore } from "../blobs/blob-store.ts";
import { chainIds } from "../manifest/chain-id.ts";
import { defaultImageLimits, type ImageLimits } from "../manifest/image-limits.ts";
import { blobsOf, type ImageParts, layerName, partsOf } from "../manifest/image-parts.ts";
import { checkDeclaredPlaces, declaredPlaces } from "../places/declared-places.ts";
import { checkImagePlaces, type VolumeDirectory, volumeDirectories } from "../places/image-places.ts";
import { defaultImageOptions, type ImageOptions } from "../policy/image-options.ts";
import { admitHostImage, admitImage } from "../policy/image-policy.ts";
import { credentialsDigest } from "../policy/registry-credentials.ts";
import { loadArchive } from "../pulls/load-archive.ts";
import { parseConfig, pullImage, type StoredImage } from "../pulls/pull-image.ts";
import { SharedTasks, type TaskOptions } from "../pulls/shared-tasks.ts";
import { type ImageReference, parseImageReference } from "../reference/image-reference.ts";
import { type RegistryAccess, RegistryClient, type RegistryOptions } from "../registry/registry-client.ts";
import { RegistryPatience } from "../registry/registry-patience.ts";
import { LayerStack } from "../unpack/layer-stack.ts";
import { evictImages } from "./evict-images.ts";
import { ImageRecords, parseRecord } from "./image-records.ts";
import { type ImageUser, resolveImageUser } from "./image-user.ts";
import { isProgramFor, loaderOf, programHeaderBytes } from "./program-header.ts";
import { everythingProven, type ProvenParts, provenParts } from "./proven-parts.ts";
import { type StoreHold, StoreLeases } from "./store-leases.ts";
import { UnpackedLayers } from "./unpacked-layers.ts";

/** An image that is unpacked and checked. */
export interface PreparedImage {
  /** Names of its layers' directories below {@link ImageStore.layersDirectory}, topmost first. */
  readonly layers: readonly string[];
  readonly user: ImageUser;
  /** `NAME=VALUE`. */
  readonly env: readonly string[];
  /** Directories that a step's root file system has besides the layers. */
  readonly volumeDirectories: readonly VolumeDirectory[];
}

export interface ImageStoreOptions {
  readonly directory: string;
  /** `overlay`: each layer has its own directory. `flat`: all layers of an image are in one directory, to be copied. */
  readonly style: "overlay" | "flat";
  readonly keepOwners: boolean;
  /**
   * The host ids to which file owners are mapped, for containers with a user namespace. `null`: the same ids. Each
   * range has its own unpacked layers; blobs are shared.
   */
  readonly idRange: IdRange | null;
  readonly registry: RegistryOptions;
  readonly images?: Partial<ImageOptions>;
  readonly limits?: Partial<ImageLimits>;
}

/** How long the registry's confirmation that credentials may read an image stays valid. */
const proofMs = 5 * 60_000;
const maximumProofs = 10_000;

export interface PrepareOptions extends TaskOptions {
  /** Credentials by registry. They take precedence over the store's own. */
  readonly registryAuth?: Readonly<{ [registry: string]: RegistryCredentials }> | undefined;
  /** Keeps the image from being removed until the hold is disposed. Default: until this call settles. */
  readonly hold?: StoreHold;
}

/**
 * The images of this machine: blobs, one record per reference, and unpacked layers. Several processes may share the
 * directory, because everything is created elsewhere and renamed into place.
 */
export class ImageStore {
  readonly layersDirectory: string;
  readonly #options: ImageStoreOptions;
  readonly #limits: ImageLimits;
  readonly #temporaryDirectory: string;
  readonly #records: ImageRecords;
  readonly #blobs: BlobStore;
  readonly #registry: RegistryClient;
  readonly #layers: UnpackedLayers;
  readonly #images: ImageOptions;
  readonly #leases: StoreLeases;
  readonly #preparing = new SharedTasks<KeptImage>();
  readonly #prepared = new Map<string, KeptImage>();
  /** When the registry last confirmed that these credentials may read that image. */
  readonly #proofs = new Map<string, number>();

  private constructor(options: ImageStoreOptions) {
    this.#options = options;
    this.#limits = { ...defaultImageLimits, ...options.limits };
    const { idRange } = options;
    this.layersDirectory = join(
      options.directory,
      idRange === null ? "layers" : `layers-${idRange.base}-${idRange.size}`,
    );
    this.#temporaryDirectory = join(options.directory, "tmp");
    this.#records = new ImageRecords(join(options.directory, "references"), this.#temporaryDirectory);
    this.#blobs = new BlobStore(join(options.directory, "blobs"), this.#temporaryDirectory);
    this.#images = { ...defaultImageOptions, ...options.images };
    this.#leases = new StoreLeases(join(options.directory, "leases"));
    this.#registry = new RegistryClient(options.registry, this.#limits.documentBytes, this.#images.mirrors);
    this.#layers = new UnpackedLayers({
      ...{ directory: this.layersDirectory, temporaryDirectory: this.#temporaryDirectory },
      ...{ blobs: this.#blobs, limits: this.#limits, style: options.style },
      ...{ keepOwners: options.keepOwners, idRange },
    });
  }

  static async open(options: ImageStoreOptions): Promise<ImageStore> {
    const store = new ImageStore(options);
    for (const directory of [store.layersDirectory, store.#temporaryDirectory, store.#records.directory]) {
      await mkdir(directory, { recursive: true, mode: 0o700 });
    }
    await store.#removeAbandoned();
    return store;
  }

  async close(): Promise<void> {
    await this.#registry.close();
    await this.#leases.close();
  }

  /** A hold on images, to be disposed when the sandbox has ended. */
  hold(): StoreHold {
    return this.#leases.hold();
  }

  /** @throws {AirlockError} reason `policy` when jobs may not use the host's own tool chain. */
  admitHost(): void {
    admitHostImage(this.#images.policy);
  }

  /**
   * Removes the least recently used images until the store is within its limit. Returns lines of text that tell what
   * was removed.
   */
  async evict({ signal }: Abortable): Promise<readonly string[]> {
    const { cacheBytes } = this.#images;
    if (cacheBytes === null) return [];
    const { directory } = this.#options;
    const places = { directory, records: this.#records.directory, temporary: this.#temporaryDirectory };
    return evictImages(places, this.#leases, {
      signal,
      maximumBytes: cacheBytes,
      partsOf: (text) => this.#partsOf(text),
    });
  }

  /**
   * Returns a ready image and pulls and unpacks what is missing. An image that was pulled with credentials is only
   * returned to jobs whose own credentials may read it.
   * @throws {AirlockError} reason `image-invalid`, `image-unavailable`, or `runtime` (disk full).
   */
  async prepare(text: string, options: PrepareOptions): Promise<PreparedImage> {
    const reference = admitImage(text, this.#images.policy);
    const { canonical, registry } = reference;
    using ownHold = this.#leases.hold();
    const hold = options.hold ?? ownHold;
    const credentials = ownValue(options.registryAuth, registry) ?? (await this.#images.credentials(registry, options));
    const known = this.#prepared.get(canonical);
    if (known && !this.#mustAsk(reference)) {
      await hold.add(known.names);
      if (await this.#layers.areThere(known.layers)) {
        const access = { ...options, credentials, patience: new RegistryPatience(options) };
        await this.#checkAccess(reference, known, access);
        await this.#records.markUsed(reference);
        return known;
      }
    }
    // A job must not join a task that runs with the credentials of another job.
    const prepared = await this.#preparing.run(`${canonical} ${credentialsDigest(credentials)}`, options, (task) =>
      this.#prepare(reference, credentials, task),
    );
    await hold.add(prepared.names);
    if (!(await this.#layers.areThere(prepared.layers))) {
      throw runtimeFailed(`the image "${canonical}" was removed while it was prepared`);
    }
    await this.#records.markUsed(reference);
    return prepared;
  }

  async #prepare(
    reference: ImageReference,
    credentials: RegistryCredentials | undefined,
    task: TaskOptions,
  ): Promise<KeptImage> {
    const { canonical } = reference;
    const hold = this.#leases.hold();
    const access = { ...task, credentials, patience: new RegistryPatience(task) };
    try {
      const found = await this.#find(reference, hold);
      if (found) await this.#checkAccess(reference, found, access);
      const isCurrent = found !== undefined && (await this.#isCurrent(reference, found, access));
      if (!isCurrent && this.#images.policy.pull === "never") throw notHere(canonical);
      const proven = isCurrent
        ? everythingProven
        : await provenParts(reference.registry, await this.#records.all(), this.#blobs);
      const stored = isCurrent ? found : await this.#pull(reference, proven, hold, access);
      const layers = await this.#layers.unpack(canonical, stored, proven, task);
      const unpacked = await this.#check(canonical, stored, layers);
      // Write the record only after its layers were verified against its configuration, because records are trusted.
      if (!isCurrent) await this.#records.remember(reference, stored);
      const kept = { ...unpacked, isPrivate: stored.isPrivate, names: this.#namesOf(stored) };
      this.#prepared.set(canonical, kept);
      setTimeout(() => hold[Symbol.dispose](), takeOverMs).unref();
      return kept;
    } catch (error) {
      hold[Symbol.dispose]();
      throw error;
    }
  }

  /** Whether the registry has to be asked what the tag means now. */
  #mustAsk({ version }: ImageReference): boolean {
    return this.#images.policy.pull === "always" && version.kind === "tag";
  }

  async #isCurrent(reference: ImageReference, { digest }: StoredImage, access: PullAccess): Promise<boolean> {
    if (!this.#mustAsk(reference)) return true;
    access.progress(`asking ${reference.registry} whether ${reference.canonical} has changed`);
    const now = await this.#registry.fromSources(reference, access, (source) =>
      this.#registry.digest(reference, source, access),
    );
    return now !== undefined && now === digest;
  }

  /** Names of the image's parts, as used in leases. */
  #namesOf({ manifest, config }: Pick<StoredImage, "manifest" | "config">): readonly string[] {
    const { blobs, layers } = partsOf(manifest, config);
    return [...blobs, ...layers.map((layer) => join(basename(this.layersDirectory), layer))];
  }

  async #partsOf(recordText: string): Promise<ImageParts> {
    const record = parseRecord(recordText);
    if (!(await this.#blobs.has(record.config.digest))) return { blobs: blobsOf(record), layers: [] };
    return partsOf(record, parseConfig(record.reference, await this.#blobs.read(record.config.digest), record));
  }

  /** @throws {AirlockError} reason `image-invalid` when the image is private and these credentials may not read it. */
  async #checkAccess(
    reference: ImageReference,
    { isPrivate }: { readonly isPrivate: boolean },
    access: PullAccess,
  ): Promise<void> {
    if (!isPrivate) return;
    const { credentials, progress } = access;
    const provenAt = this.#proofs.get(proofKey(reference, credentials));
    if (provenAt !== undefined && performance.now() - provenAt < proofMs) return;
    progress(`asking ${reference.registry} whether the job may use ${reference.canonical}`);
    await this.#registry.checkAccess(reference, access);
    this.#prove(reference, credentials);
  }

  #prove(reference: ImageReference, credentials: RegistryCredentials | undefined): void {
    if (this.#proofs.size >= maximumProofs) this.#proofs.clear();
    this.#proofs.set(proofKey(reference, credentials), performance.now());
  }

  /**
   * Loads an archive and returns the references of its images. An image without a name is referenced by its digest
   * alone.
   */
  async load(archivePath: string, options: Abortable): Promise<string[]> {
    const images = await loadArchive(archivePath, this.#blobs, {
      ...options,
      limits: this.#limits,
      temporaryDirectory: this.#temporaryDirectory,
    });
    const added: string[] = [];
    for (const image of images) {
      const names = image.names.length > 0 ? image.names : [`localhost/image@${image.manifest.config.digest}`];
      for (const name of names) {
        const reference = parseImageReference(name);
        this.#prepared.delete(reference.canonical);
        await this.#records.remember(reference, image);
        added.push(reference.canonical);
      }
    }
    return added;
  }

  async #pull(
    reference: ImageReference,
    proven: ProvenParts,
    hold: StoreHold,
    access: PullAccess,
  ): Promise<StoredImage> {
    const stored = await pullImage(reference, this.#registry, this.#blobs, {
      ...access,
      limits: this.#limits,
      onManifest: (manifest) => hold.add(blobsOf(manifest)),
      onConfig: (manifest, config) => hold.add(this.#namesOf({ manifest, config })),
      mayReuse: (digest) => proven.hasBlob(digest),
      isUnpacked: async (chainId, digest) => {
        const name = layerName(chainId);
        return (
          this.#options.style === "overlay" && proven.hasLayer(digest, name) && (await this.#layers.areThere([name]))
        );
      },
    });
    this.#prove(reference, access.credentials);
    return stored;
  }

  async #find(reference: ImageReference, hold: StoreHold): Promise<StoredImage | undefined> {
    const record = await this.#records.find(reference);
    if (!record) return undefined;
    await hold.add(blobsOf(record));
    if (!(await this.#blobs.has(record.config.digest))) return undefined;
    const { isPrivate, digest, ...manifest } = record;
    const config = parseConfig(reference.canonical, await this.#blobs.read(record.config.digest), manifest);
    await hold.add(this.#namesOf({ manifest, config }));
    for (const [index, chainId] of chainIds(config.rootfs.diff_ids ?? []).entries()) {
      const layer = manifest.layers[index];
      const isHere =
        (await this.#layers.areThere([layerName(chainId)])) || (layer && (await this.#blobs.has(layer.digest)));
      if (!isHere) return undefined;
    }
    return { manifest, config, isPrivate, digest };
  }

  async #check(image: string, stored: StoredImage, layers: readonly string[]): Promise<PreparedImage> {
    const root = new LayerStack(layers.map((name) => join(this.layersDirectory, name)));
    const declared = declaredPlaces(stored.config.config);
    checkDeclaredPlaces(image, declared);
    await checkImagePlaces(image, root);
    const shell = await root.resolve("bin/sh");
    if (!shell?.stats.isFile() || (shell.stats.mode & 0o111) === 0)
      throw imageUnusable(image, "has no /bin/sh", needsShell);
    // Check now, because OCI runtimes would report it only in the step's own output.
    const header = (await root.readFile("bin/sh", programHeaderBytes)) ?? Buffer.alloc(0);
    if (!isProgramFor(header)) throw imageUnusable(image, "has a /bin/sh that this CPU cannot run", needsShell);
    const loader = loaderOf(header);
    const hasLoader = loader === null || (await root.resolve(loader.replace(/^\/+/, ""))) !== undefined;
    const user = await resolveImageUser(image, stored.config.config?.User ?? "", root);
    if (!hasLoader || !this.#mayRun(shell.stats, user))
      throw imageUnusable(image, "has no working /bin/sh", needsShell);
    const directories = await volumeDirectories(image, declared.volumes, root);
    return { layers, user, env: declared.env, volumeDirectories: directories };
  }

  /** Whether the image's user may execute a file of a layer. */
  #mayRun({ uid, gid, mode }: Stats, user: ImageUser): boolean {
    const { keepOwners, idRange } = this.#options;
    if (!keepOwners || user.uid === 0) return true;
    if (uid === hostId(idRange, user.uid)) return (mode & 0o100) !== 0;
    const isInGroup = [user.gid, ...user.additionalGids].some((id) => gid === hostId(idRange, id));
    return (mode & (isInGroup ? 0o010 : 0o001)) !== 0;
  }

  /** Removes temporary files of dead processes. Each name begins with the process id of its creator. */
  async #removeAbandoned(): Promise<void> {
    for (const name of await readdir(this.#temporaryDirectory)) {
      const pid = Number(/(\d+)/.exec(name)?.[1]);
      const isAlive = await stat(`/proc/${pid}`).then(
        () => true,
        () => false,
      );
      if (!isAlive) await rm(join(this.#temporaryDirectory, name), { recursive: true, force: true });
    }
  }
}

/** Access to the registry for one task, and its progress callback. */
type PullAccess = RegistryAccess & TaskOptions;

/** A prepared image, and the names of its parts for leases. */
interface KeptImage extends PreparedImage {
  readonly isPrivate: boolean;
  readonly names: readonly string[];
}

/** Gives the callers that waited for one pull time to hold the image themselves. */
const takeOverMs = 1_000;

const needsShell = "Steps are shell scripts: use an image with a shell for this machine's architecture.";

function notHere(image: string): AirlockError {
  return refusedByPolicy(
    `the image "${image}" is not on this machine, and EXECUTOR_IMAGE_PULL_POLICY is "never"`,
    "Load it with `executor image load FILE`, or ask this executor's administrator to change the policy.",
  );
}

function proofKey(reference: ImageReference, credentials: RegistryCredentials | undefined): string {
  return `${reference.canonical} ${credentialsDigest(credentials)}`;
}

/** Reads an own property: jobs choose the names of registries, so inherited properties must not match. */
function ownValue<T>(entries: Readonly<{ [name: string]: T }> | undefined, name: string): T | undefined {
  return entries && Object.hasOwn(entries, name) ? entries[name] : undefined;
}
