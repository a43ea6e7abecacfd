import { randomUUID } from "node:crypto";
import { createServer, type Socket } from "node:net";
import { Readable } from "node:stream";
import { describeWithEngines, engines } from "@airlock/test-kit";
import { CreateBucketCommand, ListMultipartUploadsCommand, S3Client } from "@aws-sdk/client-s3";
import { describe, expect, it } from "vitest";
import { describeBlobStore, entries } from "../testing/describe-blob-store.ts";
import { createS3BlobStore, type S3BlobStoreOptions } from "./s3-blob-store.ts";

const options = { signal: new AbortController().signal, maxBytes: 1000 };

/** Creates an empty bucket in the test engine's storage, which is deleted with the engine. */
async function freshBucket(): Promise<{ settings: S3BlobStoreOptions; client: S3Client }> {
  const { endpoint, region, accessKeyId, secretAccessKey } = engines().s3 ?? expect.unreachable();
  const bucket = `test-${randomUUID()}`;
  const client = new S3Client({
    endpoint,
    region,
    forcePathStyle: true,
    credentials: { accessKeyId, secretAccessKey },
  });
  await client.send(new CreateBucketCommand({ Bucket: bucket }));
  const settings = { endpoint, region, bucket, prefix: "airlock/", accessKeyId, secretAccessKey, forcePathStyle: true };
  return { settings, client };
}

describeWithEngines(["s3"], "the S3 blob store", () => {
  describeBlobStore(async () => {
    const { settings, client } = await freshBucket();
    return {
      settings: { kind: "s3", ...settings },
      open: async () => createS3BlobStore({ ...settings, pageSize: 25 }),
      leftovers: async () => {
        const { Uploads = [] } = await client.send(new ListMultipartUploadsCommand({ Bucket: settings.bucket }));
        return Uploads.map(({ Key }) => Key ?? "");
      },
      async [Symbol.asyncDispose]() {
        client.destroy();
      },
    };
  });

  it("touches only objects below its prefix", async () => {
    const { settings } = await freshBucket();
    await using whole = createS3BlobStore({ ...settings, prefix: "" });
    await using ours = createS3BlobStore({ ...settings, prefix: "ours/" });
    await whole.put("theirs/x", Readable.from(["x"]), options);
    await ours.put("theirs/x", Readable.from(["ours"]), options);
    await ours.deletePrefix("theirs/", options);
    expect(await entries(whole.list("", options))).toEqual([{ key: "theirs/x", bytes: 1 }]);
    expect(() => createS3BlobStore({ ...settings, prefix: "ours" })).toThrow("not a prefix");
  });

  it("reports which settings are wrong", async () => {
    const { settings } = await freshBucket();
    const problem = async (wrong: Partial<S3BlobStoreOptions>) => {
      await using store = createS3BlobStore({ ...settings, ...wrong });
      const listing = await entries(store.list("", options)).catch((error: unknown) => error);
      const writing = await store.put("x", Readable.from(["x"]), options).catch((error: unknown) => error);
      const reading = await store.get("x", options).catch((error: unknown) => error);
      const codes = [listing, writing, reading].map((error) => (error as { code?: string }).code);
      expect(new Set(codes).size).toBe(1);
      expect((listing as { hint?: string }).hint).toMatch(/\.$/);
      return codes[0];
    };
    expect(await problem({ secretAccessKey: "wrong" })).toBe("blob-store-denied");
    expect(await problem({ accessKeyId: "some:body" })).toBe("blob-store-denied");
    expect(await problem({ bucket: "no-such-bucket" })).toBe("blob-store-no-bucket");
    expect(await problem({ endpoint: "http://127.0.0.1:1" })).toBe("blob-store-unreachable");
    expect(await problem({ endpoint: "http://no-such-host.invalid" })).toBe("blob-store-unreachable");
  });
});

describe("the S3 blob store whose storage does not answer", () => {
  it("gives up when it is aborted", async () => {
    const sockets = new Set<Socket>();
    const server = createServer((socket) => sockets.add(socket));
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const address = server.address();
    const port = typeof address === "object" ? address?.port : undefined;
    await using store = createS3BlobStore({
      endpoint: `http://127.0.0.1:${port}`,
      region: "us-east-1",
      bucket: "some-bucket",
      prefix: "",
      accessKeyId: "key",
      secretAccessKey: "secret",
      forcePathStyle: true,
    });
    const soon = () => ({ signal: AbortSignal.timeout(100), maxBytes: 1000 });
    const aborted = { name: "TimeoutError" };
    await expect(store.put("a", Readable.from(["x"]), soon())).rejects.toMatchObject(aborted);
    await expect(store.get("a", soon())).rejects.toMatchObject(aborted);
    await expect(store.delete("a", soon())).rejects.toMatchObject(aborted);
    await expect(entries(store.list("", soon()))).rejects.toMatchObject(aborted);
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  });
});
