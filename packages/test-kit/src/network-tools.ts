import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { findExecutable } from "./find-executable.ts";

const run = promisify(execFile);

/** What suites about the kernel's network need: root, and tools that work in a namespace of its own. */
export async function findNetworkTools(): Promise<{ readonly nftPath: string } & AsyncDisposable> {
  const nftPath = findExecutable("nft");
  if (!nftPath || !findExecutable("ip")) throw new Error("not installed: apt-get install -y nftables iproute2");
  if (process.getuid?.() !== 0) throw new Error("needs root");
  // The namespace ends with the command, and its rules with it.
  await run("unshare", ["--net", nftPath, "add table inet airlock_probe"]);
  return { nftPath, [Symbol.asyncDispose]: async () => {} };
}
