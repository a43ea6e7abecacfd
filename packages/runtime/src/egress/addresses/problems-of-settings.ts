import { AddressPool } from "./address-pool.ts";
import { parseRange } from "./ip-range.ts";

/** What is wrong with a range of addresses that an administrator wrote; `undefined`: nothing. */
export function problemOfAddressRange(text: string): string | undefined {
  return problemOf(() => parseRange(text));
}

/** What is wrong with a pool of addresses for sandboxes; `undefined`: nothing. */
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
