import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { findExecutable } from "./find-executable.ts";

const run = promisify(execFile);

/** Checks what suites about the kernel's network need: root, and tools that work in a separate namespace. */
export async function findNetworkTools(): Promise<{ readonly nftPath: string } & AsyncDisposable> {
  const nftPath = findExecutable("nft");
  if (!nftPath || !findExecutable("ip")) throw new Error("not installed: apt-get install -y nftables iproute2");
  if (process.getuid?.() !== 0) throw new Error("needs root");
  // The namespace and its rules disappear with the command.
  await run("unshare", ["--net", nftPath, "add table inet airlock_probe"]);
  return { nftPath, [Symbol.asyncDispose]: async () => {} };
}
