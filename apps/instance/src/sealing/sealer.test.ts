import { randomBytes } from "node:crypto";
import { describe, expect, it } from "vitest";
import { parseKeys } from "./keyring.ts";
import { Sealer } from "./sealer.ts";

const [oldKey, newKey] = [randomBytes(32).toString("base64"), randomBytes(32).toString("hex")];
const sealerOf = (text: string) => new Sealer(parseKeys(text, "the test"));
const context = ["secret", "team", "", "TOKEN"] as const;

describe("a sealed text", () => {
  const sealer = sealerOf(oldKey);
  const value = "hunter2 – äöü\n".repeat(100);

  it("can be opened in its own context, and its bytes reveal nothing", () => {
    const { bytes } = sealer.seal(context, value);
    expect(sealer.open(context, bytes)).toBe(value);
    expect(bytes.includes("hunter2")).toBe(false);
    expect(sealer.seal(context, value).bytes.equals(bytes)).toBe(false);
  });

  it.each([
    ["another name", ["secret", "team", "", "OTHER"]],
    ["another namespace", ["secret", "teams", "", "TOKEN"]],
    ["another queue", ["secret", "team", "q", "TOKEN"]],
    ["names that concatenate to the same text", ["secret", "tea", "m", "TOKEN"]],
    ["another kind", ["repository", "team", "", "TOKEN"]],
  ] as const)("can't be opened with %s", (_title, other) => {
    const { bytes } = sealer.seal(context, value);
    expect(() => sealer.open(other, bytes)).toThrow(/cannot be decrypted/);
    expect(() => sealer.reseal(other, bytes)).toThrow(/cannot be decrypted/);
  });

  it("can't be opened after any byte was changed or anything was cut off", () => {
    const { bytes } = sealer.seal(context, "short");
    for (let at = 0; at < bytes.length; at++) {
      const changed = Buffer.from(bytes);
      changed[at] = (changed[at] ?? 0) ^ 1;
      expect(() => sealer.open(context, changed), `byte ${at}`).toThrow(/cannot be decrypted|does not have/);
      expect(() => sealer.open(context, bytes.subarray(0, at)), `cut at ${at}`).toThrow(/cannot be decrypted/);
    }
  });

  it("can't be opened when it is combined from parts of two texts", () => {
    const [one, two] = [sealer.seal(context, "value one"), sealer.seal(context, "value two")];
    const mixed = Buffer.concat([one.bytes.subarray(0, 69), two.bytes.subarray(69)]);
    expect(() => sealer.open(context, mixed)).toThrow(/cannot be decrypted/);
  });

  it("can be opened with the old and the new key while both are given, and is re-encrypted with the new one", () => {
    const { bytes, keyId } = sealer.seal(context, value);
    const both = sealerOf(`${newKey}\n${oldKey}`);
    expect(both.open(context, bytes)).toBe(value);
    const moved = both.reseal(context, bytes);
    expect(moved.keyId).not.toBe(keyId);
    expect(sealerOf(newKey).open(context, moved.bytes)).toBe(value);
    expect(() => sealerOf(newKey).open(context, bytes)).toThrow(
      `secret "TOKEN" is encrypted with key ${keyId}, which this instance does not have`,
    );
  });
});

describe("secret keys", () => {
  it.each([
    ["one as base64", oldKey, 1],
    ["one as base64url without padding", oldKey.replaceAll("+", "-").replaceAll("/", "_").replace("=", ""), 1],
    ["several, with comments", `# new\n${newKey}\n\n# old\n  ${oldKey}\n`, 2],
    ["several in one line", `${newKey},${oldKey}`, 2],
  ])("can be given as %s", (_title, text, count) => {
    expect(parseKeys(text, "x").ids).toHaveLength(count);
  });

  it.each([
    ["an empty text", "", "AIRLOCK_SECRET_KEY contains no key"],
    ["a passphrase", "correct horse battery staple", "key 1 of AIRLOCK_SECRET_KEY is not 32 bytes"],
    ["16 bytes", randomBytes(16).toString("hex"), "key 1 of"],
    ["a good one and a bad one", `${newKey} hunter2`, "key 2 of"],
  ])("can't be %s, and the error does not repeat the value", (_title, text, message) => {
    const error = catchError(() => parseKeys(text, "AIRLOCK_SECRET_KEY"));
    expect(error.message).toContain(message);
    for (const word of text.split(/\s+/).filter(Boolean)) expect(error.message).not.toContain(word);
  });

  it("have stable ids that reveal nothing about them", () => {
    const key = "ab".repeat(32);
    expect(parseKeys(key, "x").primary.id).toBe(parseKeys(Buffer.from(key, "hex").toString("base64"), "x").primary.id);
    expect(key).not.toContain(parseKeys(key, "x").primary.id);
  });
});

function catchError(work: () => unknown): Error {
  try {
    work();
  } catch (error) {
    if (error instanceof Error) return error;
  }
  throw new Error("it did not fail");
}
