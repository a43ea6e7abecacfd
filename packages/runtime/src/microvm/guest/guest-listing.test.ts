import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { expect, it } from "vitest";
import { GuestListing } from "./guest-listing.ts";
import { PayloadWriter } from "./payload-writer.ts";

setFlagsFromString("--expose-gc");
const collectGarbage: () => void = runInNewContext("gc");
const mebibyte = 2 ** 20;

/** An entry as a guest sends it. */
function encoded(name: string): Buffer {
  const kindAndMode = Buffer.of(0, 0x01, 0xa4);
  const payload = new PayloadWriter().bytes(kindAndMode).uint64(5).int64(7n).uint64(9);
  return payload.uint8(name.length).bytes(Buffer.from(name)).toBuffer();
}

function usedBytes(): number {
  collectGarbage();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}

it("has the entries in byte order, each of them once", () => {
  const listing = new GuestListing({ entries: 5, bytes: 1000 });
  listing.add(Buffer.concat([encoded("b"), encoded("a.b"), encoded("a")]));
  listing.add(encoded("a-"));
  for (let i = 0; i < 2; i++) expect([...listing].map(({ name }) => name.toString())).toEqual(["a", "a-", "a.b", "b"]);
  const [first] = listing;
  expect(first).toEqual({
    name: Buffer.from("a"),
    inode: 9n,
    stats: { kind: "file", mode: 0o644, size: 5, modifiedMs: 7 },
  });
});

it("keeps a large directory in little more memory than its names take", () => {
  const before = usedBytes();
  const listing = new GuestListing({ entries: 1e6, bytes: 64 * mebibyte });
  for (let i = 0; i < 200_000; i += 100) {
    listing.add(
      Buffer.concat(Array.from({ length: 100 }, (_, j) => encoded(`file-${String(i + j).padStart(8, "0")}`))),
    );
  }
  expect(usedBytes() - before).toBeLessThan(24 * mebibyte);
  expect(listing).toHaveLength(200_000);
});

it("refuses more entries or bytes than its limits, and names those of the whole walk", () => {
  const whole = { entries: 7, bytes: 3 * mebibyte };
  const few = new GuestListing({ entries: 1, bytes: 1000, whole });
  few.add(encoded("a"));
  expect(() => few.add(encoded("b"))).toThrow("there are more than 7 files and directories to look at");
  const small = new GuestListing({ entries: 9, bytes: 40, whole });
  small.add(encoded("a"));
  expect(() => small.add(encoded("b"))).toThrow(expect.objectContaining({ code: "too-many-files" }));
  expect(() => small.add(encoded("b"))).toThrow("the names of the files and directories to look at take more than 3");
});
