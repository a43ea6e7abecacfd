import { constants } from "node:os";
import { describe, expect, it } from "vitest";
import { noteOnExitCode, signalExitCode } from "./signal-exit-codes.ts";

describe("exit codes for signals", () => {
  it("are 128 plus the platform's signal number, for every signal of the platform", () => {
    for (const [name, number] of Object.entries(constants.signals)) expect(signalExitCode(name)).toBe(128 + number);
  });

  it("are explained for signals that end programs, without claiming that a signal was sent", () => {
    expect(noteOnExitCode(134)).toBe("134 is the exit code that shells report for a command that SIGABRT ended");
    expect(noteOnExitCode(137)).toContain("SIGKILL");
  });

  it("are not explained for codes that are not signals", () => {
    for (const code of [0, 1, 127, 128, 144, 145, 150, 157, 158, 192, 255])
      expect(noteOnExitCode(code)).toBeUndefined();
  });
});
