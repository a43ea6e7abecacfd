import { AddressPool } from "./address-pool.ts";
import { parseRange } from "./ip-range.ts";

/** Describes the error in an address range that an administrator wrote; `undefined` if it is valid. */
export function problemOfAddressRange(text: string): string | undefined {
  return problemOf(() => parseRange(text));
}

/** Describes the error in an address pool for sandboxes; `undefined` if it is valid. */
export function problemOfAddressPool(text: string): string | undefined {
  return problemOf(() => new AddressPool(text, 0n));
}

function problemOf(read: () => unknown): string | undefined {
  try {
    read();
    return undefined;
  } catch (error) {
    if (error instanceof RangeError) return error.message;
    throw error;
  }
}
