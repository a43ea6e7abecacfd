import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { outputOf, ProgramError, systemEnvironment } from "@airlock/process";
import { runtimeFailed } from "../../../contract/errors.ts";

/** Debian's kernel for virtual machines. It depends on the package of the current version. */
const metaPackage = "linux-image-cloud-amd64";
/** dpkg's own placeholders. */
const fieldsFormat = ["Package", "Version", "Architecture"].map((field) => `\${${field}}`).join(" ");
const downloadMs = 300_000;

export interface KernelPackage {
  readonly path: string;
  readonly name: string;
  readonly version: string;
  readonly sha256: string;
}

/**
 * Downloads the distribution's current kernel package into a directory with apt, which checks its signature. With
 * `kernelPackage` it only reads that file.
 * @throws {AirlockError} reason `runtime`
 */
export async function fetchKernelPackage(
  directory: string,
  {
    kernelPackage,
    proxyEnvironment,
    signal,
  }: {
    readonly kernelPackage?: string;
    readonly proxyEnvironment?: Readonly<Record<string, string>>;
    readonly signal: AbortSignal;
  },
): Promise<KernelPackage> {
  const path = kernelPackage ?? (await download(directory, proxyEnvironment ?? {}, signal));
  const options = { env: systemEnvironment, signal, timeoutMs: downloadMs };
  const command = ["dpkg-deb", "--show", `--showformat=${fieldsFormat}`, path];
  const fields = await outputOf(command, options).catch((error: unknown) => {
    signal.throwIfAborted();
    throw runtimeFailed(`${path} is not a Debian package`, error);
  });
  const [name = "", version = "", architecture] = fields.split(" ");
  if (architecture !== "amd64") throw runtimeFailed(`${path} is a package for ${architecture}, not for amd64`);
  const sha256 = createHash("sha256")
    .update(await readFile(path))
    .digest("hex");
  return { path, name, version, sha256 };
}

async function download(
  directory: string,
  proxyEnvironment: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<string> {
  const env = { ...systemEnvironment, DEBIAN_FRONTEND: "noninteractive", ...proxyEnvironment };
  const options = { cwd: directory, env, signal, timeoutMs: downloadMs };
  // apt would otherwise complain that its own user can't write to this directory.
  const apt = (...args: readonly string[]) =>
    outputOf(["apt-get", "-qq", "-o", "APT::Sandbox::User=root", ...args], options);
  const attempt = async () => {
    const depends = await outputOf(["apt-cache", "depends", "--important", metaPackage], options);
    const [, name] = /^\s*Depends: (linux-image-\S+)$/m.exec(depends) ?? [];
    if (name === undefined) throw runtimeFailed(`apt knows no package ${metaPackage}`);
    await apt("download", name);
  };
  signal.throwIfAborted();
  try {
    await attempt().catch(async (error: unknown) => {
      signal.throwIfAborted();
      // The package lists are missing or outdated.
      if (process.getuid?.() !== 0) throw error;
      await apt("update");
      await attempt();
    });
  } catch (error) {
    signal.throwIfAborted();
    if (!(error instanceof ProgramError)) throw error;
    const hint = `Download the kernel package that ${metaPackage} depends on elsewhere, and name it: executor install microvm --kernel-package FILE`;
    throw runtimeFailed("the guest's kernel can't be downloaded with apt-get", error, hint);
  }
  const file = (await readdir(directory)).find((entry) => entry.endsWith(".deb"));
  if (file === undefined) throw runtimeFailed("apt-get downloaded no kernel package");
  return join(directory, file);
}
