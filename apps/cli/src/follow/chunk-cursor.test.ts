import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ChunkCursor } from "./chunk-cursor.ts";

describe("the chunk cursor", () => {
  it("assembles the whole output from repeated and overlapping chunks, however they are cut", () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 1, maxLength: 40 }),
        fc.array(fc.tuple(fc.nat(39), fc.nat(20))),
        (output, resent) => {
          const cursor = new ChunkCursor();
          const printed: Buffer[] = [];
          // A resent chunk starts at or before what was printed. At the end the whole output is sent once more.
          for (const [from, length] of [...resent, [0, output.length] as const]) {
            const offset = Math.min(from, Buffer.concat(printed).length);
            const data = Buffer.from(output.subarray(offset, offset + length)).toString("base64");
            const fresh = cursor.take({ attempt: 1, entryId: 1, offset, data });
            if (fresh) printed.push(fresh.bytes);
            expect(fresh?.missing ?? 0).toBe(0);
          }
          expect(Buffer.concat(printed)).toEqual(Buffer.from(output));
        },
      ),
    );
  });

  it("reports how much output is missing", () => {
    const cursor = new ChunkCursor();
    const data = Buffer.from("abc").toString("base64");
    expect(cursor.take({ attempt: 1, entryId: 1, offset: 10, data })).toMatchObject({ missing: 10 });
  });

  it("counts entries and attempts separately", () => {
    const cursor = new ChunkCursor();
    const data = Buffer.from("abc").toString("base64");
    cursor.take({ attempt: 1, entryId: 1, offset: 0, data });
    expect(cursor.take({ attempt: 1, entryId: 2, offset: 0, data })).toBeDefined();
    expect(cursor.take({ attempt: 2, entryId: 1, offset: 0, data })).toBeDefined();
    expect(cursor.take({ attempt: 1, entryId: 1, offset: 0, data })).toBeUndefined();
  });
});
