import type { Proxies } from "@airlock/proxy";
import type { BlobStore } from "./blob-store.ts";
import { createDirectoryBlobStore } from "./directory-blob-store.ts";
import { createS3BlobStore, type S3BlobStoreOptions } from "./s3-blob-store.ts";

/** `null`: a directory in the data directory. Suits a single instance. */
export type BlobStorage = Omit<S3BlobStoreOptions, "pageSize" | "proxies"> | null;

interface OpenOptions {
  readonly proxies: Proxies;
  readonly signal: AbortSignal;
}

/** @throws {AirlockError} `blob-store-*` when the settings don't lead to a usable store. */
export async function openBlobStore(
  storage: BlobStorage,
  directory: string,
  { proxies, signal }: OpenOptions,
): Promise<BlobStore> {
  if (storage === null) return createDirectoryBlobStore({ directory });
  const store = createS3BlobStore({ ...storage, proxies });
  // The client sends nothing before its first call. List once to find wrong settings now, not when a job has results.
  for await (const _ of store.list("", { signal })) break;
  return store;
}
