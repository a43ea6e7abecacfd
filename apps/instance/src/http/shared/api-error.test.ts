import { AirlockError } from "@airlock/job";
import { describe, expect, it } from "vitest";
import { toApiError } from "./api-error.ts";

describe("answers of the REST API", () => {
  const full = Object.assign(new Error("could not extend file: No space left on device"), { code: "53100" });

  it.each([
    ["the database", full],
    ["the data directory", Object.assign(new Error("ENOSPC: no space left on device, write"), { code: "ENOSPC" })],
    ["the blob store", new AirlockError("the blob store failed", { code: "blob-store-full", cause: full })],
  ])("explain that the disk of %s is full and what to do, without repeating the original error", (_, error) => {
    expect(toApiError(error)).toEqual({
      status: 507,
      body: {
        error: {
          code: "no-space",
          message: "no space left on a disk of the instance",
          hint: "Ask the instance's administrator to free space on the disk. Then try again.",
        },
      },
    });
  });
});
