import { type DecodedPacket, decode, encode, type Packet, type RecordType } from "dns-packet";
import { describe, expect, it } from "vitest";
import { specialRanges } from "../addresses/special-ranges.ts";
import { rcodeOf } from "./read-response.ts";
import { type AddressToPin, type QueryContext, resolveQuery } from "./resolve-query.ts";

interface World {
  readonly context: QueryContext;
  readonly asked: string[];
  readonly pinned: (readonly [AddressToPin, readonly number[] | null])[];
  readonly denied: string[];
}

function world(changes: Partial<QueryContext> = {}, answers: Packet["answers"] = []): World {
  const asked: string[] = [];
  const pinned: (readonly [AddressToPin, readonly number[] | null])[] = [];
  const denied: string[] = [];
  const context: QueryContext = {
    policy: { kind: "allow", names: [{ name: "example.com", subdomains: false, port: 443 }] },
    closed: specialRanges,
    mayAsk: () => true,
    ask: async ({ name }) => {
      asked.push(name);
      return decode(encode({ type: "response", answers }));
    },
    pin: async (addresses, ports) => {
      for (const address of addresses) pinned.push([address, ports]);
      return { opened: new Set(addresses.map((each) => each.address)), isFull: false };
    },
    onDenied: (name) => denied.push(name),
    ...changes,
  };
  return { context, asked, pinned, denied };
}

const address = { type: "A", name: "example.com", ttl: 60, data: "8.8.8.8" } as const;

function query(name: string, type = "A", changes: Partial<Packet> = {}): Buffer {
  return encode({ type: "query", id: 7, flags: 0x100, questions: [{ name, type: type as RecordType }], ...changes });
}

async function resolve(message: Buffer, { context }: World, transport: "udp" | "tcp" = "udp"): Promise<DecodedPacket> {
  const answer = await resolveQuery(message, transport, context);
  if (!answer) throw new Error("no answer");
  return decode(answer);
}

describe("resolveQuery", () => {
  it("opens the addresses on the rule's ports before it answers", async () => {
    const events: string[] = [];
    const pin = async () => {
      events.push("pinned");
      return { opened: new Set(["8.8.8.8"]), isFull: false };
    };
    const { context } = world({ pin }, [address]);
    const answer = await resolveQuery(query("example.com"), "udp", context).then((bytes) => {
      events.push("answered");
      return bytes;
    });
    expect(events).toEqual(["pinned", "answered"]);
    expect(decode(answer ?? Buffer.alloc(0)).answers).toEqual([expect.objectContaining({ data: "8.8.8.8" })]);
    const told = world({}, [address]);
    await resolve(query("example.com"), told);
    expect(told.pinned).toEqual([[{ family: 4, address: "8.8.8.8", ttl: 60 }, [443]]]);
  });

  it("reveals no address that could not be opened", async () => {
    const there = world({ pin: async () => undefined }, [address]);
    const packet = await resolve(query("example.com"), there);
    expect([rcodeOf(packet), packet.answers]).toEqual(["SERVFAIL", []]);
    expect(there.denied).toEqual([]);
  });

  it("answers with as many addresses as the sandbox has room for, and reports when there is no room at all", async () => {
    const many = Array.from({ length: 4 }, (_, index) => ({ ...address, data: `8.8.8.${index}` }));
    const some = world({ pin: async () => ({ opened: new Set(["8.8.8.0", "8.8.8.2"]), isFull: true }) }, many);
    const packet = await resolve(query("example.com"), some);
    expect(packet.answers).toEqual([
      expect.objectContaining({ data: "8.8.8.0" }),
      expect.objectContaining({ data: "8.8.8.2" }),
    ]);
    expect(some.denied).toEqual([]);

    const none = world({ pin: async () => ({ opened: new Set<string>(), isFull: true }) }, many);
    expect(rcodeOf(await resolve(query("example.com"), none))).toBe("SERVFAIL");
    expect(none.denied).toEqual(["example.com"]);
  });

  it("opens nothing under the policy public, which already allows every public address", async () => {
    const there = world({ policy: { kind: "public" } }, [address]);
    await resolve(query("example.com"), there);
    expect(there.pinned).toEqual([]);
  });

  it("refuses without asking upstream when the sandbox has sent too many queries", async () => {
    const there = world({ mayAsk: () => false });
    expect(rcodeOf(await resolve(query("example.com"), there))).toBe("REFUSED");
    expect(there.asked).toEqual([]);
    expect(there.denied).toEqual(["example.com"]);
  });

  it("truncates an answer that is too long for UDP, and sends it complete over TCP", async () => {
    const many = Array.from({ length: 40 }, (_, index) => ({ ...address, data: `8.8.8.${index}` }));
    const short = await resolve(query("example.com"), world({}, many));
    expect([short.flag_tc, short.answers?.length]).toEqual([true, 0]);
    const whole = await resolve(query("example.com"), world({}, many), "tcp");
    expect([whole.flag_tc, whole.answers?.length]).toEqual([false, 32]);
  });

  it("answers SERVFAIL when no upstream does", async () => {
    expect(rcodeOf(await resolve(query("example.com"), world({ ask: async () => undefined })))).toBe("SERVFAIL");
  });

  it.each([
    ["two questions", query("a.example", "A", { questions: [1, 2].map(() => ({ name: "a.example", type: "A" })) })],
    ["no question", query("a.example", "A", { questions: [] })],
    ["an answer section", query("a.example", "A", { answers: [address] })],
    ["a question that is cut off", query("example.com").subarray(0, 15)],
  ])("answers FORMERR to a query with %s", async (_, message) => {
    const there = world();
    expect(rcodeOf(await resolve(message, there))).toBe("FORMERR");
    expect(there.asked).toEqual([]);
  });

  it.each([
    ["a response", encode({ type: "response", id: 7, questions: [{ name: "example.com", type: "A" }] })],
    ["a message shorter than a header", Buffer.alloc(5)],
    ["a message longer than any query", Buffer.concat([query("example.com"), Buffer.alloc(600)])],
  ])("does not answer %s", async (_, message) => {
    expect(await resolveQuery(message, "udp", world().context)).toBeUndefined();
  });

  it("answers NOTIMP to other DNS operations", async () => {
    expect(rcodeOf(await resolve(query("example.com", "A", { flags: 0x2800 }), world()))).toBe("NOTIMP");
  });

  it("answers or drops any bytes, and asks upstream only for what the policy allows", async () => {
    const there = world({}, [address]);
    let state = 99;
    const random = (limit: number) => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      return Math.floor((state / 2 ** 32) * limit);
    };
    const sound = query("example.com", "A", {
      additionals: [
        {
          type: "OPT",
          name: ".",
          udpPayloadSize: 4096,
          extendedRcode: 0,
          ednsVersion: 0,
          flags: 0,
          flag_do: false,
          options: [],
        },
      ],
    });
    for (let round = 0; round < 5000; round += 1) {
      const message = Buffer.from(sound);
      for (let change = 0; change <= random(6); change += 1) message[random(message.length)] = random(256);
      await resolveQuery(
        message.subarray(0, random(4) === 0 ? random(message.length) : message.length),
        "udp",
        there.context,
      );
    }
    expect(new Set(there.asked)).toEqual(new Set(["example.com"]));
  });
});
