import { createHash } from "node:crypto";

/** Names a directory after an owner or a machine. Ids can be long, but the paths of sockets can't. */
export function shortName(name: string): string {
  return createHash("sha256").update(name).digest("hex").slice(0, 12);
}
