import { describe, expect, it } from "vitest";
import { AirlockError, errorMessage } from "./errors.ts";

describe("errorMessage", () => {
  it("joins the messages of all causes on one line, each once", () => {
    const cause = new Error("connect ECONNREFUSED");
    const error = new AirlockError("cannot pull x", { code: "image-unavailable", cause });
    expect(errorMessage(error)).toBe("cannot pull x: connect ECONNREFUSED");
    expect(errorMessage(new Error("failed: connect ECONNREFUSED", { cause }))).toBe("failed: connect ECONNREFUSED");
  });

  it("describes a connection that failed on every address", () => {
    expect(errorMessage(new AggregateError([new Error("connect ECONNREFUSED ::1")]))).toBe("connect ECONNREFUSED ::1");
  });
});

describe("AirlockError", () => {
  it("is retryable only for reasons that may be temporary", () => {
    const of = (reason: "runtime" | "step-failed") => new AirlockError("x", { code: "runtime", reason });
    expect([of("runtime").retryable, of("step-failed").retryable]).toEqual([true, false]);
  });
});
