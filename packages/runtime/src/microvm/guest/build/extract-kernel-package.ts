import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { outputOf, systemEnvironment } from "@airlock/process";
import { runtimeFailed } from "../../../contract/errors.ts";

const extractMs = 120_000;

/**
 * Unpacks a kernel package into a new directory, without running its scripts.
 * @throws {AirlockError} reason `runtime` when it has no kernel.
 */
export async function extractKernelPackage(
  path: string,
  root: string,
  signal: AbortSignal,
): Promise<{ readonly vmlinuz: string; readonly modulesDirectory: string }> {
  await outputOf(["dpkg-deb", "--extract", path, root], { env: systemEnvironment, signal, timeoutMs: extractMs });
  const release = (await readdir(join(root, "boot"))).find((name) => name.startsWith("vmlinuz-"))?.slice(8);
  if (release === undefined) throw runtimeFailed("the kernel package has no vmlinuz");
  // Newer releases keep modules below /usr.
  const modulesRoot = (await readdir(root)).includes("lib") ? join(root, "lib") : join(root, "usr/lib");
  return {
    vmlinuz: join(root, "boot", `vmlinuz-${release}`),
    modulesDirectory: join(modulesRoot, "modules", release),
  };
}
