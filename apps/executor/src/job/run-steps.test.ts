import { describe, expect, it } from "vitest";
import { failureOf } from "./run-steps.ts";

const step = {
  name: "build",
  key: "0-build",
  image: "x",
  commands: [],
  workingDirectory: "/data",
  env: {},
  secretFiles: [],
};

describe("the end of a step", () => {
  it("lets the job go on after exit code 0", () => {
    expect(failureOf(step, { kind: "exited", exitCode: 0 }, 1)).toBeUndefined();
  });

  it("fails the job with the step's name and exit code", () => {
    expect(failureOf(step, { kind: "exited", exitCode: 3 }, 1)).toEqual({
      kind: "failed",
      reason: "step-failed",
      message: 'step "build" exited with 3',
      exitCode: 3,
    });
  });

  it("distinguishes the memory limit from other kills", () => {
    expect(failureOf(step, { kind: "killed", signal: "SIGKILL", outOfMemory: true }, 512 * 1024 * 1024)).toMatchObject({
      reason: "out-of-memory",
      message: 'step "build" was killed: the job used more memory than its 512 MiB',
      exitCode: 137,
    });
    expect(failureOf(step, { kind: "killed", signal: "SIGSEGV", outOfMemory: false }, 1)).toMatchObject({
      reason: "step-failed",
      exitCode: 139,
    });
    expect(failureOf(step, { kind: "killed", signal: "SIGSTKFLT", outOfMemory: false }, 1)).toMatchObject({
      exitCode: 144,
    });
  });
});
