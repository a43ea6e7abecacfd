import { pause } from "@airlock/async";
import { type CoreV1Api, type KubeConfig, type V1Pod, Watch } from "@kubernetes/client-node";

interface Waiter {
  readonly name: string;
  readonly check: (pod: V1Pod | null) => void;
}

export interface PodWatchOptions {
  readonly config: KubeConfig;
  readonly api: CoreV1Api;
  readonly namespace: string;
  readonly labelSelector: string;
}

const firstPauseMs = 100;
const longestPauseMs = 5_000;

/**
 * The pods with these labels, kept up to date by one watch. It resumes after every interruption, and lists the pods again
 * when the API server no longer knows where it was.
 */
export class PodWatch implements Disposable {
  readonly #options: PodWatchOptions;
  readonly #over = new AbortController();
  readonly #pods = new Map<string, V1Pod>();
  readonly #waiters = new Set<Waiter>();
  /** Pods that were created since the last list was asked for, which may lack them. */
  readonly #added = new Set<string>();

  constructor(options: PodWatchOptions) {
    this.#options = options;
    void this.#keepWatching();
  }

  /**
   * Waits until `probe` returns something other than `undefined`. It gets `null` when there is no such pod.
   * @throws what `probe` throws; `signal.reason` when aborted.
   */
  async until<T>(name: string, probe: (pod: V1Pod | null) => T | undefined, signal: AbortSignal): Promise<T> {
    signal.throwIfAborted();
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    const waiter: Waiter = {
      name,
      check: (pod) => {
        try {
          const found = probe(pod);
          if (found !== undefined) resolve(found);
        } catch (error) {
          reject(error);
        }
      },
    };
    const abort = () => reject(signal.reason);
    signal.addEventListener("abort", abort, { once: true });
    this.#waiters.add(waiter);
    try {
      waiter.check(this.#pods.get(name) ?? null);
      return await promise;
    } finally {
      this.#waiters.delete(waiter);
      signal.removeEventListener("abort", abort);
    }
  }

  /** Takes over a pod that a request has returned. Call it before the first {@link until} of a pod. */
  add(pod: V1Pod): void {
    const name = pod.metadata?.name ?? "";
    this.#added.add(name);
    if (!this.#pods.has(name)) this.#change(name, pod);
  }

  [Symbol.dispose](): void {
    this.#over.abort();
  }

  async #keepWatching(): Promise<void> {
    let wait = firstPauseMs;
    let version: string | undefined;
    while (!this.#over.signal.aborted) {
      try {
        version ??= await this.#list();
        version = await this.#watch(version);
        wait = firstPauseMs;
      } catch {
        version = undefined;
        await pause(wait, this.#over.signal);
        wait = Math.min(wait * 2, longestPauseMs);
      }
    }
  }

  async #list(): Promise<string | undefined> {
    const { api, namespace, labelSelector } = this.#options;
    this.#added.clear();
    const { items, metadata } = await api.listNamespacedPod({ namespace, labelSelector });
    const present = new Set(items.map((pod) => pod.metadata?.name ?? ""));
    for (const name of this.#pods.keys()) if (!present.has(name) && !this.#added.has(name)) this.#change(name, null);
    for (const pod of items) this.#change(pod.metadata?.name ?? "", pod);
    return metadata?.resourceVersion;
  }

  /** Follows the changes until the API server ends the watch. Returns the version from which to go on. */
  async #watch(from: string | undefined): Promise<string | undefined> {
    const { config, namespace, labelSelector } = this.#options;
    const path = `/api/v1/namespaces/${encodeURIComponent(namespace)}/pods`;
    const query = { labelSelector, resourceVersion: from, allowWatchBookmarks: true };
    let version = from;
    const ended = Promise.withResolvers<string | undefined>();
    const stop = await new Watch(config).watch(
      path,
      query,
      (phase: string, object: V1Pod) => {
        // Usually 410: the version is too old.
        if (phase === "ERROR") return void ended.resolve(undefined);
        version = object.metadata?.resourceVersion ?? version;
        if (phase !== "BOOKMARK") this.#change(object.metadata?.name ?? "", phase === "DELETED" ? null : object);
      },
      () => ended.resolve(version),
    );
    const abort = () => stop.abort();
    this.#over.signal.addEventListener("abort", abort, { once: true });
    if (this.#over.signal.aborted) abort();
    try {
      return await ended.promise;
    } finally {
      this.#over.signal.removeEventListener("abort", abort);
    }
  }

  #change(name: string, pod: V1Pod | null): void {
    if (pod) this.#pods.set(name, pod);
    else this.#pods.delete(name);
    for (const waiter of [...this.#waiters]) if (waiter.name === name) waiter.check(pod);
  }
}
