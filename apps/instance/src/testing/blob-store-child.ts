// Program that the contract suite runs as a child process, to kill it or to measure its memory. Arguments: a task, and
// the store as JSON.

import { Readable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { createDirectoryBlobStore, type DirectoryBlobStoreOptions } from "../blobs/directory-blob-store.ts";
import { createS3BlobStore, type S3BlobStoreOptions } from "../blobs/s3-blob-store.ts";

export type BlobStoreSettings =
  | ({ readonly kind: "directory" } & DirectoryBlobStoreOptions)
  | ({ readonly kind: "s3" } & S3BlobStoreOptions);

const [task, json = ""] = process.argv.slice(2);
const settings = JSON.parse(json) as BlobStoreSettings;
await using store = settings.kind === "s3" ? createS3BlobStore(settings) : await createDirectoryBlobStore(settings);
const options = { signal: new AbortController().signal, maxBytes: 2 ** 32 };
const mebibyte = 1 << 20;

async function* zeros(mebibytes: number): AsyncGenerator<Buffer> {
  for (let written = 0; written < mebibytes; written++) yield Buffer.alloc(mebibyte);
}

/** Prints a line once the store must have written some data, then never ends. */
async function* endless(): AsyncGenerator<Buffer> {
  yield* zeros(40);
  process.stdout.write("writing\n");
  await sleep(600_000);
}

/** Memory growth in MiB while 200 MiB are stored and read back. */
async function measureMemory(): Promise<number> {
  await store.put("small", Readable.from(zeros(20)), options);
  const before = process.memoryUsage.rss();
  let peak = before;
  const observe = () => {
    peak = Math.max(peak, process.memoryUsage.rss());
  };
  const timer = setInterval(observe, 5);
  await store.put("large", Readable.from(zeros(200)), options);
  const content = await store.get("large", options);
  let bytes = 0;
  for await (const chunk of content?.stream ?? []) bytes += (chunk as Buffer).length;
  clearInterval(timer);
  if (bytes !== 200 * mebibyte) throw new Error(`read ${bytes} bytes`);
  return (peak - before) / mebibyte;
}

if (task === "put-forever") await store.put("killed/blob", Readable.from(endless()), options);
else process.stdout.write(`${Math.ceil(await measureMemory())}\n`);
