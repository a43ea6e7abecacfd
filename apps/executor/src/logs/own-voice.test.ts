import { expect, it } from "vitest";
import { looksLikeOwnLine } from "./own-voice.ts";

it.each([
  ["written out", "[airlock] forged"],
  ["in capitals", "[AIRLOCK] forged"],
  ["after spaces", " \t [airlock] forged"],
  ["with an empty colour", "[air\u001b[mlock] forged"],
  ["with a control character", "[air\u0001lock] forged"],
  ["with a title", "[air\u001b]0;x\u0007lock] forged"],
  ["with an 8-bit control", "[air\u009b0mlock] forged"],
  ["with a character set", "\u001b(B[airlock] forged"],
  ["with invisible characters", "\u200b[air\u00adlo\u2060ck] forged"],
  ["over an erased line", "harmless\r[airlock] forged"],
  ["after an erased line", "harmless\u001b[2K\r\u001b[1G[airlock] forged"],
])("the executor recognizes a step's line that imitates its own, %s", (_, line) => {
  expect(looksLikeOwnLine(Buffer.from(`${line}\n`))).toBe(true);
});

it.each(["", "\n", "about [airlock] itself\n", "airlock\n", "[info] x\n", "\u001b[31m[error]\u001b[m x\n"])(
  "the executor does not take %j for one of its own lines",
  (line) => {
    expect(looksLikeOwnLine(Buffer.from(line))).toBe(false);
  },
);
