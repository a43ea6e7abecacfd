import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { encodeExitCode, encodeInput, encodeWindowSize, TelnetOutput } from "./telnet.ts";

describe("the telnet protocol", () => {
  it("takes commands out of the output, wherever it is cut", () => {
    const negotiation = [255, 253, 1, 255, 251, 3, 255, 250, 31, 255, 255, 80, 255, 240];
    const whole = Buffer.from([...Buffer.from("a"), ...negotiation, ...Buffer.from("b"), 255, 255, 255, 241, 99]);
    for (let cut = 0; cut <= whole.length; cut += 1) {
      const output = new TelnetOutput();
      const read = Buffer.concat([output.decode(whole.subarray(0, cut)), output.decode(whole.subarray(cut))]);
      expect(read).toEqual(Buffer.from([97, 98, 255, 99]));
    }
  });

  it("carries each exit code beside the output, wherever it is cut", () => {
    for (const code of [0, 3, 240, 250, 255]) {
      const whole = Buffer.from([...Buffer.from("a"), ...encodeExitCode(code), ...Buffer.from("b")]);
      for (let cut = 0; cut <= whole.length; cut += 1) {
        const output = new TelnetOutput();
        const read = [output.decode(whole.subarray(0, cut)), output.decode(whole.subarray(cut))].join("");
        expect([read, output.exitCode]).toEqual(["ab", code]);
      }
    }
    expect(new TelnetOutput().exitCode).toBeNull();
  });

  it("passes on every byte that a user types", () => {
    fc.assert(
      fc.property(fc.uint8Array(), (typed) => new TelnetOutput().decode(encodeInput(typed)).equals(Buffer.from(typed))),
    );
  });

  it("tells the size of the window, and no size that the server could misread", () => {
    expect([...encodeWindowSize({ columns: 80, rows: 24 })]).toEqual([
      255, 251, 31, 255, 250, 31, 0, 80, 0, 24, 255, 240,
    ]);
    expect(encodeWindowSize({ columns: 255, rows: 0 }).subarray(6)).toEqual(Buffer.from([0, 255, 255, 0, 1, 255, 240]));
  });
});
