import { walkBeneath } from "../host-disk/walk-tree.ts";
import type { GuestAgent } from "../microvm/guest/guest-agent.ts";
import { PayloadWriter } from "../microvm/guest/payload-writer.ts";

const putTreeMethod = 65;

/** Copies a tree of this host into the workspace of a pod, which is empty. */
export async function putCheckout(agent: GuestAgent, checkout: string, signal: AbortSignal): Promise<void> {
  const upload = treeEntries(checkout, signal);
  await agent.connection.call(Buffer.of(putTreeMethod), { signal, stallMs: agent.stallMs, upload });
}

/** The stream that pod-tree.c takes. */
async function* treeEntries(checkout: string, signal: AbortSignal): AsyncGenerator<Buffer> {
  const everything = {
    start: true,
    advance: () => true,
    maximumEntries: Number.MAX_SAFE_INTEGER,
    maximumDepth: 1000,
    signal,
  };
  for await (const entry of walkBeneath(checkout, "", everything)) {
    const { kind, mode, modifiedMs, size } = entry.stats;
    const head = (letter: string) =>
      new PayloadWriter()
        .bytes(Buffer.from(letter))
        .uint16(mode & 0o777)
        .int64(BigInt(Math.floor(modifiedMs)))
        .path(entry.path);
    if (kind === "directory") yield head("d").toBuffer();
    if (kind === "link")
      yield head("l")
        .path(await entry.readLink())
        .toBuffer();
    if (kind !== "file") continue;
    yield head("f").uint64(size).toBuffer();
    let left = size;
    for await (const bytes of entry.contents()) {
      left -= bytes.length;
      yield bytes;
    }
    if (left > 0) throw new Error(`the file ${entry.path.toString()} of the checkout became shorter while it was read`);
  }
}
