import type { Abortable, RegistryCredentials } from "../contract/index.ts";
import { imageInvalid, imageUnavailable, refusedByPolicy } from "../contract/index.ts";
import type { ImageOptions } from "../images/policy/image-options.ts";
import { admitHostImage, admitImage } from "../images/policy/image-policy.ts";
import { credentialsDigest } from "../images/policy/registry-credentials.ts";
import { SharedTasks, type TaskOptions } from "../images/pulls/shared-tasks.ts";
import type { ImageReference } from "../images/reference/image-reference.ts";
import { RegistryPatience } from "../images/registry/registry-patience.ts";
import { type EngineClient, EngineError } from "./engine-client.ts";
import type { ImageReply } from "./engine-replies.ts";
import { evictPulledImages } from "./evict-pulled-images.ts";
import { checkAccess, inspectImage, isPrivate, markPrivate, pullImage, tagImage } from "./pull-image.ts";
import type { PulledImages } from "./pulled-images.ts";

export interface EnsureOptions extends TaskOptions {
  /** The job's credentials by registry. They take precedence over the executor's own. Default: none. */
  readonly registryAuth?: Readonly<Record<string, RegistryCredentials>> | undefined;
}

interface Wanted {
  readonly reference: ImageReference;
  readonly credentials: RegistryCredentials | undefined;
  /** The engine's architecture, spelled as in image manifests. `undefined`: unknown. */
  readonly architecture: string | undefined;
}

/** How long a mirror that failed is not tried again. */
const distrustMs = 60_000;

/** Gives one executor access to the images of an engine. */
export class EngineImages {
  readonly #engine: EngineClient;
  readonly #options: ImageOptions;
  /** `null`: no record is kept, so no image is ever removed. */
  readonly #pulled: PulledImages | null;
  readonly #pulling = new SharedTasks<ImageReply>();
  readonly #distrustedUntil = new Map<string, number>();

  constructor(engine: EngineClient, options: ImageOptions, pulled: PulledImages | null) {
    this.#engine = engine;
    this.#options = options;
    this.#pulled = pulled;
  }

  /** @throws {AirlockError} reason `policy` when jobs may not use the host's own tool chain. */
  admitHost(): void {
    admitHostImage(this.#options.policy);
  }

  /**
   * Returns the image from the engine. Pulls it if it is missing or if the policy says so. An image that was pulled
   * with credentials is only given to jobs whose own credentials may read it.
   * @throws {AirlockError} reason `image-invalid`, `image-unavailable` or `policy`.
   */
  async ensure(image: string, architecture: string | undefined, options: EnsureOptions): Promise<ImageReply> {
    const reference = admitImage(image, this.#options.policy);
    const { registryAuth = {}, signal } = options;
    const { registry } = reference;
    const credentials = Object.hasOwn(registryAuth, registry)
      ? registryAuth[registry]
      : await this.#options.credentials(registry, { signal });
    const wanted = { reference, credentials, architecture };
    const found = await this.#find(wanted, options);
    // A job must not join a pull that runs with the credentials of another job.
    const key = `${reference.canonical} ${credentialsDigest(credentials)}`;
    const ready = found ?? (await this.#pulling.run(key, options, (task) => this.#pull(wanted, task)));
    checkPlatform(reference, ready, architecture);
    await this.#pulled?.markUsed(reference.canonical);
    return ready;
  }

  /**
   * Removes images that this executor pulled, least recently used first, until the rest fits the limit. Returns a line
   * of text per removed image.
   */
  async evict({ signal }: Abortable): Promise<readonly string[]> {
    const { cacheBytes } = this.#options;
    if (cacheBytes === null || !this.#pulled) return [];
    return evictPulledImages(this.#engine, this.#pulled, { maximumBytes: cacheBytes, signal });
  }

  /** The image, if it may be used without a pull. */
  async #find({ reference, credentials }: Wanted, options: EnsureOptions): Promise<ImageReply | undefined> {
    const { pull } = this.#options.policy;
    const present = await this.#inspect(reference);
    if (present && (pull !== "always" || reference.version.kind === "digest")) {
      if (await isPrivate(this.#engine, present)) await checkAccess(this.#engine, reference, credentials, options);
      return present;
    }
    if (pull !== "never") return undefined;
    throw refusedByPolicy(
      `the image "${reference.canonical}" is not on this machine, and EXECUTOR_IMAGE_PULL_POLICY is "never"`,
      "Pull or load it on the Docker engine's machine, or ask this executor's administrator to change the policy.",
    );
  }

  async #inspect(reference: ImageReference): Promise<ImageReply | undefined> {
    const own = await inspectImage(this.#engine, reference.canonical);
    if (own || reference.version.kind === "tag") return own;
    // An image that was pulled by digest from a mirror has no tag and only the mirror's name.
    for (const mirror of this.#mirrorsOf(reference)) {
      const found = await inspectImage(this.#engine, `${mirror}/${reference.repository}@${reference.version.text}`);
      if (found) return found;
    }
    return undefined;
  }

  async #pull(wanted: Wanted, task: TaskOptions): Promise<ImageReply> {
    const { reference, credentials } = wanted;
    const { canonical } = reference;
    // An image that was already here belongs to another user of the engine, even if a pull moves its tag.
    const isOurs = (await this.#inspect(reference)) === undefined || (await this.#isPulledHere(canonical));
    const viaMirror = await this.#pullFromMirror(reference, task);
    if (viaMirror === undefined) {
      await new RegistryPatience(task).run(reference.registry, () =>
        pullImage(this.#engine, { reference, name: canonicalName(reference) }, credentials, task),
      );
    }
    const pulled = await inspectImage(this.#engine, viaMirror ?? canonical);
    if (!pulled) throw imageUnavailable(canonical, new Error("the engine pulled the image but does not have it"));
    if (credentials && viaMirror === undefined) await markPrivate(this.#engine, pulled);
    if (isOurs) {
      const references = viaMirror === undefined ? [canonical] : [canonical, viaMirror];
      await this.#pulled?.add({ canonical, id: pulled.Id, references });
    }
    return pulled;
  }

  async #isPulledHere(canonical: string): Promise<boolean> {
    return ((await this.#pulled?.list()) ?? []).some((image) => image.canonical === canonical);
  }

  /** Returns the reference under which the engine then has the image, or `undefined` if no mirror has it. */
  async #pullFromMirror(reference: ImageReference, task: TaskOptions): Promise<string | undefined> {
    for (const mirror of this.#mirrorsOf(reference)) {
      if ((this.#distrustedUntil.get(mirror) ?? 0) > performance.now()) continue;
      const name = `${mirror}/${reference.repository}`;
      try {
        // Send no credentials: those for the registry must not reach the mirror.
        await pullImage(this.#engine, { reference, name }, undefined, task);
        const { kind, text } = reference.version;
        const there = `${name}${kind === "tag" ? ":" : "@"}${text}`;
        // A digest can't become a tag, so such an image keeps the mirror's name.
        if (kind === "tag") await tagImage(this.#engine, there, canonicalName(reference), text);
        return there;
      } catch (error) {
        task.signal.throwIfAborted();
        if (error instanceof EngineError) throw error;
        task.progress(`${mirror} does not have ${reference.canonical}, asking the registry`);
        const isMissing = error instanceof Error && "reason" in error && error.reason === "image-invalid";
        if (!isMissing) this.#distrustedUntil.set(mirror, performance.now() + distrustMs);
      }
    }
    return undefined;
  }

  #mirrorsOf({ registry }: ImageReference): readonly string[] {
    return registry === "docker.io" ? this.#options.mirrors.map(({ host }) => host) : [];
  }
}

function canonicalName({ registry, repository }: ImageReference): string {
  return `${registry}/${repository}`;
}

/**
 * Rejects images of other architectures. The engine would start them, and only the step's output would tell that it
 * can't run their programs.
 */
function checkPlatform(
  { canonical }: ImageReference,
  { Os, Architecture }: ImageReply,
  architecture: string | undefined,
): void {
  if (architecture === undefined || Os === undefined || Architecture === undefined) return;
  if (Os === "linux" && Architecture === architecture) return;
  throw imageInvalid(canonical, `is built for ${Os}/${Architecture}, not for linux/${architecture}`);
}
