import { fuzzParameters } from "@airlock/test-kit";
import { type Answer, decode, encode, type RecordType } from "dns-packet";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseRange } from "../addresses/ip-range.ts";
import { specialRanges, touches } from "../addresses/special-ranges.ts";
import type { ResolverPolicy } from "./query-policy.ts";
import { maxResponseBytes, readResponse } from "./read-response.ts";
import { type QueryContext, resolveQuery } from "./resolve-query.ts";

const types = ["A", "AAAA", "CNAME", "MX", "NS", "PTR", "SOA", "SRV", "TXT", "CAA"] as const;
const allowed = "example.com";
const policies: readonly ResolverPolicy[] = [
  { kind: "public" },
  { kind: "allow", names: [{ name: allowed, subdomains: false, port: 443 }] },
];

/** Almost valid messages: valid ones with changed bytes, some of them truncated. */
function damaged(sound: fc.Arbitrary<Buffer>): fc.Arbitrary<Buffer> {
  const changes = fc.array(fc.tuple(fc.nat(), fc.constantFrom(0, 1, 0x3f, 0x40, 0xc0, 0xff) as fc.Arbitrary<number>), {
    maxLength: 8,
  });
  return fc.tuple(sound, changes, fc.option(fc.nat(), { nil: undefined })).map(([message, edits, end]) => {
    const bytes = Buffer.from(message);
    for (const [at, value] of edits) bytes[at % bytes.length] = value;
    return end === undefined ? bytes : bytes.subarray(0, end % (bytes.length + 1));
  });
}

const anyBytes = (maxLength: number) => fc.uint8Array({ maxLength }).map((bytes) => Buffer.from(bytes));

const query = fc
  .record({
    id: fc.integer({ min: 0, max: 65_535 }),
    name: fc.oneof(fc.constant(allowed), fc.domain()),
    type: fc.constantFrom(...types),
  })
  .map(({ id, name, type }) => encode({ type: "query", id, flags: 0x100, questions: [{ name, type }] }));

/** The bytes of one record with arbitrary data. */
function record(type: number): fc.Arbitrary<Buffer> {
  return fc.tuple(fc.nat(2 ** 31 - 1), anyBytes(80)).map(([ttl, data]) => {
    const head = Buffer.alloc(12);
    head.writeUInt16BE(0xc00c, 0);
    head.writeUInt16BE(type, 2);
    head.writeUInt16BE(1, 4);
    head.writeUInt32BE(ttl, 6);
    head.writeUInt16BE(data.length, 10);
    return Buffer.concat([head, data]);
  });
}

const typeNumbers = { A: 1, AAAA: 28, CNAME: 5, MX: 15, NS: 2, PTR: 12, SOA: 6, SRV: 33, TXT: 16, CAA: 257 } as const;

/** An upstream's response to one question, with records that a correct server would not send. */
const hostileResponse = fc.constantFrom(...types).chain((type) =>
  fc.array(fc.oneof(record(typeNumbers[type]), record(typeNumbers.CNAME)), { maxLength: 6 }).map((records) => {
    const head = encode({ type: "response", id: 1, flags: 0x180, questions: [{ name: allowed, type }] });
    head.writeUInt16BE(records.length, 6);
    return { type, message: Buffer.concat([head, ...records]) };
  }),
);

function contextWith(policy: ResolverPolicy, changes: Partial<QueryContext>): QueryContext {
  return {
    policy,
    closed: specialRanges,
    mayAsk: () => true,
    ask: async () => undefined,
    pin: async (addresses) => ({ opened: new Set(addresses.map(({ address }) => address)), isFull: false }),
    onDenied: () => {},
    ...changes,
  };
}

/** Returns the addresses in a message's answers. */
function addressesOf(message: Buffer): readonly string[] {
  return (decode(message).answers ?? []).flatMap((answer: Answer) =>
    answer.type === "A" || answer.type === "AAAA" ? [String(answer.data)] : [],
  );
}

describe("DNS messages", () => {
  it("from sandboxes are either answered with a valid message or dropped, whatever they contain", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.oneof(anyBytes(600), damaged(query)),
        fc.constantFrom(...policies),
        async (message, policy) => {
          const asked: string[] = [];
          const context = contextWith(policy, {
            ask: async ({ name }) => {
              asked.push(name);
              return undefined;
            },
          });
          const answer = await resolveQuery(message, "udp", context);
          if (answer !== undefined) {
            expect(answer.length).toBeLessThanOrEqual(1232);
            expect(decode(answer)).toMatchObject({ type: "response", id: message.readUInt16BE(0) });
          }
          if (policy.kind === "allow") expect(asked.filter((name) => name !== allowed)).toEqual([]);
        },
      ),
      fuzzParameters("DNS queries", 3000),
    );
  }, 60_000);

  it("from upstream servers never throw and never reveal a closed address", async () => {
    const response = fc.oneof(
      hostileResponse,
      hostileResponse.chain(({ type, message }) =>
        damaged(fc.constant(message)).map((bytes) => ({ type, message: bytes })),
      ),
    );
    await fc.assert(
      fc.asyncProperty(
        response,
        fc.constantFrom("udp", "tcp") as fc.Arbitrary<"udp" | "tcp">,
        async ({ type, message }, transport) => {
          const question = { name: allowed, type };
          const context = contextWith({ kind: "public" }, { ask: async () => readResponse(message, 1, question) });
          const asking = encode({
            type: "query",
            id: 7,
            flags: 0x100,
            questions: [{ name: allowed, type: type as RecordType }],
          });
          const answer = await resolveQuery(asking, transport, context);
          if (answer === undefined) throw new Error("a query without an answer");
          expect(decode(answer).id).toBe(7);
          for (const address of addressesOf(answer)) {
            expect(touches(specialRanges, parseRange(address)), address).toBe(false);
          }
        },
      ),
      fuzzParameters("DNS responses", 3000),
    );
  }, 60_000);

  it("of random bytes are parsed in a bounded time", () => {
    fc.assert(
      fc.property(anyBytes(maxResponseBytes + 100), (message) => {
        const before = process.cpuUsage();
        readResponse(message, 1, { name: allowed, type: "A" });
        const { user, system } = process.cpuUsage(before);
        expect((user + system) / 1000).toBeLessThan(500);
      }),
      fuzzParameters("DNS bytes", 500),
    );
  }, 60_000);

  it("built to be slow are parsed in a bounded time", () => {
    // A chain of labels that every record's name points into.
    const labels = Buffer.concat(Array.from({ length: 120 }, () => Buffer.from([1, 0x61])));
    const name = Buffer.concat([labels, Buffer.from([0])]);
    const head = Buffer.alloc(12);
    head.writeUInt16BE(1, 0);
    head.writeUInt16BE(0x8180, 2);
    head.writeUInt16BE(1, 4);
    const question = Buffer.concat([name, Buffer.from([0, 1, 0, 1])]);
    const pointing = Buffer.concat([Buffer.from([0xc0, 12]), Buffer.from([0, 1, 0, 1, 0, 0, 0, 0, 0, 0])]);
    const count = Math.floor((maxResponseBytes - head.length - question.length) / pointing.length);
    head.writeUInt16BE(count, 6);
    const message = Buffer.concat([head, question, ...Array.from({ length: count }, () => pointing)]);
    const before = process.cpuUsage();
    readResponse(message, 1, { name: allowed, type: "A" });
    const { user, system } = process.cpuUsage(before);
    expect((user + system) / 1000).toBeLessThan(500);
  });
});
