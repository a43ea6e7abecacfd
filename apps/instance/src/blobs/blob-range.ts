import { AirlockError } from "@airlock/job";
import type { GetBlobOptions } from "./blob-store.ts";

type BlobRange = NonNullable<GetBlobOptions["range"]>;

/** @throws {AirlockError} `blob-range-invalid` for a range that no blob could satisfy. */
export function checkBlobRange({ offset, length = 1 }: BlobRange): void {
  if (!Number.isSafeInteger(offset) || offset < 0 || !Number.isSafeInteger(length) || length < 1)
    throw rangeError({ offset, length });
}

export function rangeError({ offset, length }: BlobRange): AirlockError {
  return new AirlockError(
    `the blob has no bytes at offset ${offset}${length === undefined ? "" : `, length ${length}`}`,
    {
      code: "blob-range-invalid",
      hint: "Ask for a range that begins before the end of the blob.",
    },
  );
}
