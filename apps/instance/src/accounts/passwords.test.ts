import { describe, expect, it } from "vitest";
import { hashPassword, verifyPassword } from "./password-hash.ts";
import { passwordProblem } from "./password-rules.ts";
import { networkOf } from "./sign-in-limits.ts";

describe("a password's hash", () => {
  it("is Argon2id with its cost, and different each time", async () => {
    const [one, two] = await Promise.all([hashPassword("some words"), hashPassword("some words")]);
    expect(one).toMatch(/^\$argon2id\$v=19\$m=19456,t=2,p=1\$[\w+/]{22}\$[\w+/]{43}$/);
    expect(one).not.toBe(two);
    expect(await verifyPassword("some words", one)).toBe(true);
    expect(await verifyPassword("some word", one)).toBe(false);
  });

  it("of the reference implementation is understood, with its own cost", async () => {
    // From the tests of phc-winner-argon2.
    const tag = Buffer.from("09316115d5cf24ed5a15a31a3ba326e5cf32edc24702987c02b6566f61913cf7", "hex");
    const stored = `$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$${tag.toString("base64").replace("=", "")}`;
    expect(await verifyPassword("password", stored)).toBe(true);
    expect(await verifyPassword("passwore", stored)).toBe(false);
  });

  it("does not depend on how a keyboard encodes a character", async () => {
    const stored = await hashPassword("pässword");
    expect(await verifyPassword("pa\u0308ssword", stored)).toBe(true);
  });

  it("takes about as long to check for an account that does not exist", async () => {
    const stored = await hashPassword("some words");
    const timeOf = async (hash: string | null) => {
      const times: number[] = [];
      for (let round = 0; round < 5; round += 1) {
        const startedAt = performance.now();
        expect(await verifyPassword("wrong", hash)).toBe(false);
        times.push(performance.now() - startedAt);
      }
      return times.sort((a, b) => a - b)[0] ?? 0;
    };
    const [known, unknown] = [await timeOf(stored), await timeOf(null)];
    // Without the same work, one of them would take microseconds.
    expect(unknown).toBeGreaterThan(known / 4);
    expect(known).toBeGreaterThan(unknown / 4);
  });

  it("is computed for a limited number of callers at once", async () => {
    const results = await Promise.allSettled(Array.from({ length: 40 }, () => verifyPassword("wrong", null)));
    const refused = results.filter((result) => result.status === "rejected");
    expect(refused).toHaveLength(8);
    expect(refused[0]?.reason).toMatchObject({ code: "too-many-attempts" });
    expect(await verifyPassword("wrong", null)).toBe(false);
  });
});

describe("a new password", () => {
  it.each([
    ["short", "at least 12"],
    ["elevenchars", "at least 12"],
    ["🦊🦊🦊🦊🦊🦊", "at least 12"],
    ["aaaaaaaaaaaaaaaa", "different characters"],
    ["abababababab", "different characters"],
    ["correctcorrect", "repeat"],
    ["hello ann-lee world", "user's name"],
    ["Password12345", "most common"],
    ["123456Password!", "most common"],
    ["qwertyuiop123", "most common"],
    ["1234567890123", "most common"],
    ["needforspeed", "most common"],
    ["abcdefghijklmnop", "most common"],
  ])("%j is refused", (password, problem) => {
    expect(passwordProblem(password, "ann-lee")).toContain(problem);
  });

  it.each(["violet ladder seven kites", "мой дядя самых честных", "x7Qp-29sk-LLw2", "k3k3k3k3-marmalade"])(
    "%j is accepted",
    async (password) => {
      expect(passwordProblem(password, "ann-lee")).toBeNull();
    },
  );
});

it.each([
  ["203.0.113.7", "203.0.113.7"],
  ["::ffff:203.0.113.7", "203.0.113.7"],
  ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2"],
  ["2001:0db8:0001:0002::9", "2001:db8:1:2"],
  ["2001:db8::1", "2001:db8:0:0"],
  ["::1", "0:0:0:0"],
  ["fe80::1%eth0", "fe80:0:0:0"],
])("attempts from %s count for %s", (address, network) => {
  expect(networkOf(address)).toBe(network);
});
