import { AirlockError } from "@airlock/job";
import { describe, expect, it } from "vitest";
import { outcomeOfError } from "./job-outcome.ts";

const signal = new AbortController().signal;
const enospc = Object.assign(new Error("ENOSPC: no space left on device, write"), { code: "ENOSPC" });

describe("the outcome of a job whose executor's disk is full", () => {
  it.each([
    ["an error from Node", enospc],
    ["an error that is the cause of another", new Error("cannot unpack", { cause: enospc })],
    [
      "an error from a host program",
      new AirlockError("mkfs.ext4 failed: No space left on device", { code: "mount-failed", reason: "runtime" }),
    ],
  ])("is an infrastructure error that says what to do: %s", (_, error) => {
    expect(outcomeOfError(error, signal)).toEqual({
      kind: "errored",
      reason: "runtime",
      message: expect.stringMatching(/no space left on device.*This executor's disk is full: its administrator/is),
    });
  });

  it("does not apply to a job that filled its own disk", () => {
    const own = new AirlockError("the job's disk is full", { code: "disk-full", reason: "step-failed", cause: enospc });
    expect(outcomeOfError(own, signal)).toMatchObject({ kind: "failed", reason: "step-failed" });
  });
});
