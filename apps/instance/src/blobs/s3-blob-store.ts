import { Agent as HttpAgent } from "node:http";
import { Agent as HttpsAgent } from "node:https";
import { addAbortSignal, Readable } from "node:stream";
import { noProxies, type Proxies } from "@airlock/proxy";
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
  UploadPartCommand,
} from "@aws-sdk/client-s3";
import { checkBlobKey, checkBlobPrefix } from "./blob-key.ts";
import { BlobMeter } from "./blob-meter.ts";
import { checkBlobRange, rangeError } from "./blob-range.ts";
import type {
  BlobContent,
  BlobEntry,
  BlobOptions,
  BlobStore,
  GetBlobOptions,
  PutBlobOptions,
  StoredBlob,
} from "./blob-store.ts";
import { isInvalidRange, isNotFound, s3Error } from "./s3-error.ts";

export interface S3BlobStoreOptions {
  /** `null`: Amazon's endpoint for the region. */
  readonly endpoint: string | null;
  readonly region: string;
  /** Must exist. */
  readonly bucket: string;
  /** Put before every key: `""`, or text that ends with `/`. */
  readonly prefix: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  /** Put the bucket into the path instead of the host name. Most storage other than Amazon's needs it. */
  readonly forcePathStyle: boolean;
  /** The ways to the store. Default: all direct. */
  readonly proxies?: Proxies;
  /** Page size of listings. Default: 1000, the maximum of S3. */
  readonly pageSize?: number;
}

const mebibyte = 1 << 20;
/**
 * S3 allows 10,000 parts of 5 MiB to 5 GiB. Some compatible stores allow only 1,000, and want all but the last of one
 * size.
 */
const minPartBytes = 8 * mebibyte;
const maxParts = 1000;
const concurrentParts = 2;
const concurrentDeletes = 16;
const abortTimeoutMs = 30_000;

/**
 * Stores blobs as objects of S3 or a compatible store. Sends nothing before the first call; list to check the settings.
 * Uploads that a crash interrupted are invisible; the bucket's lifecycle rules must delete them.
 */
export function createS3BlobStore(options: S3BlobStoreOptions): BlobStore {
  if (options.prefix !== "") checkBlobPrefix(options.prefix);
  return new S3BlobStore(options);
}

/** The client speaks over Node's own agents, so it gets agents that use the proxy for everything. */
function proxyAgents(proxies: Proxies, place: URL) {
  const proxy = proxies.forUrl(place);
  if (!proxy) return {};
  const proxyEnv = { HTTP_PROXY: proxy.secretUrl, HTTPS_PROXY: proxy.secretUrl };
  const options = { keepAlive: true, maxSockets: 50, proxyEnv };
  return { httpAgent: new HttpAgent(options), httpsAgent: new HttpsAgent(options) };
}

interface Upload {
  readonly Bucket: string;
  readonly Key: string;
}

class S3BlobStore implements BlobStore {
  readonly #client: S3Client;
  readonly #bucket: string;
  readonly #prefix: string;
  readonly #where: string;
  readonly #pageSize: number;

  constructor(options: S3BlobStoreOptions) {
    const { endpoint, region, accessKeyId, secretAccessKey, forcePathStyle } = options;
    this.#bucket = options.bucket;
    this.#prefix = options.prefix;
    this.#pageSize = options.pageSize ?? 1000;
    this.#where = `${endpoint ?? region}, bucket ${options.bucket},`;
    const place = new URL(endpoint ?? `https://s3.${region}.amazonaws.com`);
    this.#client = new S3Client({
      ...(endpoint === null ? {} : { endpoint }),
      region,
      forcePathStyle,
      credentials: { accessKeyId, secretAccessKey },
      maxAttempts: 4,
      // Bodies are buffers, so each request's signature covers the SHA-256 of its body and every implementation checks
      // it. The newer checksum headers add nothing to that, and older implementations refuse them.
      requestChecksumCalculation: "WHEN_REQUIRED",
      responseChecksumValidation: "WHEN_REQUIRED",
      requestHandler: {
        connectionTimeout: 5_000,
        requestTimeout: 120_000,
        throwOnRequestTimeout: true,
        ...proxyAgents(options.proxies ?? noProxies, place),
      },
    });
  }

  async put(key: string, body: Readable, { signal, maxBytes }: PutBlobOptions): Promise<StoredBlob> {
    // The first failure aborts the other parts and the wait for the next chunk of a slow body.
    const failure = new AbortController();
    try {
      checkBlobKey(key);
      signal.throwIfAborted();
      const target = { Bucket: this.#bucket, Key: this.#prefix + key };
      const partBytes = Math.max(minPartBytes, Math.ceil(maxBytes / maxParts / mebibyte) * mebibyte);
      const meter = new BlobMeter(maxBytes);
      const either = AbortSignal.any([signal, failure.signal]);
      await this.#upload(target, inParts(meter.measure(body, either), partBytes), partBytes, either, failure);
      return meter.finish();
    } catch (error) {
      body.destroy();
      signal.throwIfAborted();
      failure.signal.throwIfAborted();
      throw error;
    }
  }

  async get(key: string, { range, signal }: GetBlobOptions): Promise<BlobContent | null> {
    checkBlobKey(key);
    if (range) checkBlobRange(range);
    const command = new GetObjectCommand({
      Bucket: this.#bucket,
      Key: this.#prefix + key,
      ...(range ? { Range: httpRange(range) } : {}),
    });
    try {
      const { Body, ContentLength, ContentRange } = await this.#client.send(command, { abortSignal: signal });
      if (!(Body instanceof Readable) || ContentLength === undefined) throw new Error("an answer without a body");
      const total = ContentRange === undefined ? ContentLength : Number(/\/(\d+)$/.exec(ContentRange)?.[1]);
      if (signal.aborted) {
        // `addAbortSignal` would emit an error that nothing listens to yet, which would end the process.
        Body.destroy();
        throw signal.reason;
      }
      return { stream: addAbortSignal(signal, Body), bytes: ContentLength, totalBytes: total };
    } catch (error) {
      signal.throwIfAborted();
      if (isNotFound(error)) return null;
      if (range && isInvalidRange(error)) throw rangeError(range);
      throw s3Error(error, this.#where);
    }
  }

  async delete(key: string, { signal }: BlobOptions): Promise<void> {
    checkBlobKey(key);
    await this.#deleteObject(key, signal);
  }

  async deletePrefix(prefix: string, { signal }: BlobOptions): Promise<void> {
    checkBlobPrefix(prefix);
    const running = new Set<Promise<void>>();
    for await (const { key } of this.list(prefix, { signal })) {
      // One request per blob: Google's storage has no request that deletes several.
      await addBounded(running, concurrentDeletes, () => this.#deleteObject(key, signal));
    }
    await Promise.all(running);
  }

  async *list(prefix: string, { signal }: BlobOptions): AsyncGenerator<BlobEntry> {
    if (prefix !== "") checkBlobPrefix(prefix);
    let token: string | undefined;
    do {
      const command = new ListObjectsV2Command({
        Bucket: this.#bucket,
        Prefix: this.#prefix + prefix,
        MaxKeys: this.#pageSize,
        ...(token === undefined ? {} : { ContinuationToken: token }),
      });
      const page = await this.#client.send(command, { abortSignal: signal }).catch(this.#rethrow(signal));
      for (const { Key, Size } of page.Contents ?? []) {
        signal.throwIfAborted();
        if (Key !== undefined && Size !== undefined) yield { key: Key.slice(this.#prefix.length), bytes: Size };
      }
      token = page.NextContinuationToken;
    } while (token !== undefined);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#client.destroy();
  }

  async #upload(
    target: Upload,
    parts: AsyncIterable<Buffer>,
    partBytes: number,
    signal: AbortSignal,
    failure: AbortController,
  ): Promise<void> {
    let uploadId: string | undefined;
    const running = new Set<Promise<void>>();
    const etags: { PartNumber: number; ETag: string }[] = [];
    const uploadPart = async (PartNumber: number, Body: Buffer) => {
      const command = new UploadPartCommand({ ...target, UploadId: uploadId, PartNumber, Body });
      const { ETag } = await this.#client.send(command, { abortSignal: signal }).catch(this.#rethrow(signal));
      if (ETag === undefined) throw s3Error(new Error("a part without an ETag"), this.#where);
      etags.push({ PartNumber, ETag });
    };
    try {
      let number = 0;
      for await (const part of parts) {
        if (number === 0 && part.length < partBytes) {
          // The whole body fits into one request, which is atomic.
          const command = new PutObjectCommand({ ...target, Body: part });
          await this.#client.send(command, { abortSignal: signal }).catch(this.#rethrow(signal));
          return;
        }
        uploadId ??= await this.#beginUpload(target, signal);
        number += 1;
        const current = number;
        await addBounded(running, concurrentParts, () =>
          uploadPart(current, part).catch((error: unknown) => {
            failure.abort(error);
            throw error;
          }),
        );
      }
      await Promise.all(running);
      const Parts = etags.sort((left, right) => left.PartNumber - right.PartNumber);
      const complete = new CompleteMultipartUploadCommand({
        ...target,
        UploadId: uploadId,
        MultipartUpload: { Parts },
      });
      await this.#client.send(complete, { abortSignal: signal }).catch(this.#rethrow(signal));
    } catch (error) {
      failure.abort(error);
      // Parts that arrive after the abort request would stay in the store.
      await Promise.allSettled(running);
      if (uploadId !== undefined) await this.#giveUp(target, uploadId);
      throw error;
    }
  }

  async #beginUpload(target: Upload, signal: AbortSignal): Promise<string> {
    const command = new CreateMultipartUploadCommand(target);
    const { UploadId } = await this.#client.send(command, { abortSignal: signal }).catch(this.#rethrow(signal));
    if (UploadId === undefined) throw s3Error(new Error("an upload without an id"), this.#where);
    return UploadId;
  }

  /** Has its own timeout because the caller's signal may already be aborted. */
  async #giveUp(target: Upload, UploadId: string): Promise<void> {
    const command = new AbortMultipartUploadCommand({ ...target, UploadId });
    // If this fails too, the bucket's lifecycle rules delete the parts. The caller must see the first error.
    await this.#client.send(command, { abortSignal: AbortSignal.timeout(abortTimeoutMs) }).catch(() => undefined);
  }

  async #deleteObject(key: string, signal: AbortSignal): Promise<void> {
    const command = new DeleteObjectCommand({ Bucket: this.#bucket, Key: this.#prefix + key });
    try {
      await this.#client.send(command, { abortSignal: signal });
    } catch (error) {
      signal.throwIfAborted();
      if (!isNotFound(error)) throw s3Error(error, this.#where);
    }
  }

  #rethrow(signal: AbortSignal): (error: unknown) => never {
    return (error) => {
      signal.throwIfAborted();
      throw s3Error(error, this.#where);
    };
  }
}

function httpRange({ offset, length }: NonNullable<GetBlobOptions["range"]>): string {
  return `bytes=${offset}-${length === undefined ? "" : offset + length - 1}`;
}

/** Yields buffers of exactly `partBytes`, then the rest. Yields one empty buffer for an empty body. */
async function* inParts(chunks: AsyncIterable<Buffer>, partBytes: number): AsyncGenerator<Buffer> {
  let pending: Buffer[] = [];
  let length = 0;
  let yielded = false;
  for await (let chunk of chunks) {
    while (length + chunk.length >= partBytes) {
      pending.push(chunk.subarray(0, partBytes - length));
      chunk = chunk.subarray(partBytes - length);
      yield Buffer.concat(pending);
      yielded = true;
      pending = [];
      length = 0;
    }
    if (chunk.length > 0) pending.push(chunk);
    length += chunk.length;
  }
  if (length > 0 || !yielded) yield Buffer.concat(pending);
}

/**
 * Starts `work` once fewer than `limit` run. If earlier work failed, the next call throws its error. After the last
 * call, the caller must await the set to get such an error.
 */
async function addBounded(running: Set<Promise<void>>, limit: number, work: () => Promise<void>): Promise<void> {
  while (running.size >= limit) await Promise.race(running);
  const task = work();
  running.add(task);
  task.then(
    () => running.delete(task),
    // A failed task stays in the set, so that awaiting the set throws its error.
    () => undefined,
  );
}
