import type { Abortable, RegistryCredentials } from "../../contract/index.ts";
import { defaultImagePolicy, type ImagePolicy } from "./image-policy.ts";

/** How an executor gets images, whatever its runtime. */
export interface ImageOptions {
  readonly policy: ImagePolicy;
  /**
   * Caches of `docker.io`, asked before it and without credentials; where one fails, the next is asked, and the registry
   * in the end. `http://` or `https://`, a host and perhaps a port. Default: none.
   */
  readonly mirrors: readonly URL[];
  /**
   * The executor's own credentials of a registry, where a job brings none: asked for as they are needed.
   * Default: none.
   */
  readonly credentials: (registry: string, options: Abortable) => Promise<RegistryCredentials | undefined>;
  /**
   * Bound of what images take on the disk; those that were used longest ago go first, none that a sandbox uses.
   * Default: no bound.
   */
  readonly cacheBytes: number | null;
}

export const defaultImageOptions: ImageOptions = {
  policy: defaultImagePolicy,
  mirrors: [],
  credentials: async () => undefined,
  cacheBytes: null,
};
