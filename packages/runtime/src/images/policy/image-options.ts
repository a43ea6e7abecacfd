import type { Abortable, RegistryCredentials } from "../../contract/index.ts";
import { defaultImagePolicy, type ImagePolicy } from "./image-policy.ts";

/** How an executor gets images, with any runtime. */
export interface ImageOptions {
  readonly policy: ImagePolicy;
  /**
   * Mirrors of `docker.io`. They are tried in order before the registry itself, without credentials. Each is `http://`
   * or `https://` with a host and an optional port. Default: none.
   */
  readonly mirrors: readonly URL[];
  /**
   * Looks up the executor's own credentials for a registry. Called for each image for whose registry the job brings
   * none. Default: none.
   */
  readonly credentials: (registry: string, options: Abortable) => Promise<RegistryCredentials | undefined>;
  /**
   * Maximum disk use of images. Beyond it the least recently used images are removed, but none that a sandbox uses.
   * Default: no limit.
   */
  readonly cacheBytes: number | null;
}

export const defaultImageOptions: ImageOptions = {
  policy: defaultImagePolicy,
  mirrors: [],
  credentials: async () => undefined,
  cacheBytes: null,
};
