import { join } from "node:path";

/** A finished checkout that workspaces start from. Nothing writes to it. */
export interface StoredCheckout {
  readonly dir: string;
  readonly commit: string;
  readonly variant: string;
  /** Without those of the checkouts below it. */
  readonly bytes: number;
  /** The checkout that this one is a layer on; `null`: it is a complete tree. */
  readonly below: StoredCheckout | null;
  /** Time of the last use in ms since 1970. Never before that of a checkout above it. */
  lastUsed: number;
  users: number;
}

/** Limit for the directories of one checkout. Each costs every job a mount, and every look-up of a file some time. */
export const maximumLayers = 8;
/** Limit for all paths together. The kernel accepts one page of mount options, which also name other directories. */
const maximumLayersLength = 2048;

/** The checkout and those below it, topmost first. */
export function stackOf(checkout: StoredCheckout): StoredCheckout[] {
  const stack: StoredCheckout[] = [];
  for (let each: StoredCheckout | null = checkout; each !== null; each = each.below) stack.push(each);
  return stack;
}

/** The directories whose overlay is the checkout, topmost first. */
export function layersOf(checkout: StoredCheckout): string[] {
  return stackOf(checkout).map(({ dir, below }) => join(dir, below === null ? "tree" : "upper"));
}

/** The complete tree that the checkout is based on. */
export function rootOf(checkout: StoredCheckout): StoredCheckout {
  return stackOf(checkout).at(-1) ?? checkout;
}

/** Whether another layer can be put on the checkout. */
export function hasRoomAbove(checkout: StoredCheckout): boolean {
  const layers = layersOf(checkout);
  return layers.length < maximumLayers && layers.join(":").length < maximumLayersLength;
}

/** Records a use of the checkout, and thus of those below it. */
export function recordUse(checkout: StoredCheckout, at: number): void {
  for (const each of stackOf(checkout)) each.lastUsed = Math.max(each.lastUsed, at);
}

/** Keeps the checkout, and thus those below it, until the result is disposed of. */
export function pinned(checkout: StoredCheckout): Disposable {
  checkout.users += 1;
  let isPinned = true;
  return {
    [Symbol.dispose]: () => {
      if (isPinned) checkout.users -= 1;
      isPinned = false;
    },
  };
}
