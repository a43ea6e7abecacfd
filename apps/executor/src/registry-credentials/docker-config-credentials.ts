import type { RegistryCredentials } from "@airlock/runtime";
import { askCredentialHelper } from "./credential-helper.ts";
import { readDockerConfig } from "./docker-config.ts";

export interface DockerConfigCredentialsOptions {
  /** Absolute path of a `config.json`. */
  readonly file: string;
  /** The complete environment of credential helpers. */
  readonly env: Readonly<Record<string, string>>;
  /** How long to reuse a helper's answer. Default: 300,000. */
  readonly helperAgeMs?: number;
}

interface Answered {
  readonly credentials: RegistryCredentials | undefined;
  readonly at: number;
}

const maximumAnswers = 1_000;

/**
 * Finds the credentials that the executor's user keeps for Docker: in its file, or with the helpers that the file
 * names.
 */
export class DockerConfigCredentials {
  readonly #options: DockerConfigCredentialsOptions;
  readonly #answers = new Map<string, Answered>();

  constructor(options: DockerConfigCredentialsOptions) {
    this.#options = options;
  }

  /**
   * Finds credentials for `HOST[:PORT]`, or `docker.io` for Docker Hub. Reads the file each time, because the
   * administrator may log in while the executor runs.
   */
  async find(registry: string, { signal }: { readonly signal: AbortSignal }): Promise<RegistryCredentials | undefined> {
    const config = await readDockerConfig(this.#options.file);
    const helper = ownValue(config.helpers, registry) ?? config.store;
    const found = helper === null ? undefined : await this.#ask(helper, registry, signal);
    return found ?? ownValue(config.credentials, registry);
  }

  async #ask(helper: string, registry: string, signal: AbortSignal): Promise<RegistryCredentials | undefined> {
    const { env, helperAgeMs = 300_000 } = this.#options;
    const key = `${helper} ${registry}`;
    const known = this.#answers.get(key);
    if (known && performance.now() - known.at < helperAgeMs) return known.credentials;
    const credentials = await askCredentialHelper(helper, registry, { env, signal });
    // Jobs name the registries, so the cache must be bounded.
    if (this.#answers.size >= maximumAnswers) this.#answers.clear();
    this.#answers.set(key, { credentials, at: performance.now() });
    return credentials;
  }
}

/** Jobs name the registries, so names of inherited properties must not count as entries. */
function ownValue<T>(entries: Readonly<Record<string, T>>, name: string): T | undefined {
  return Object.hasOwn(entries, name) ? entries[name] : undefined;
}
