import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { errorCode } from "../../host/error-code.ts";

const cpuDirectory = "sys/devices/system/cpu";

/**
 * Looks for settings of this machine that let virtual machines learn about each other, as Firecracker's guide for
 * production lists them. Changes nothing.
 * @param root Where the machine's files are. Default: `/`.
 * @returns a sentence about each, and what to do. None: all is well.
 */
export async function hostSecurityFindings(root = "/"): Promise<readonly string[]> {
  const parts = [smt, ksm, swap, vulnerabilities].map((look) => look(root));
  return (await Promise.all(parts)).flat();
}

async function smt(root: string): Promise<readonly string[]> {
  if ((await textOf(join(root, cpuDirectory, "smt/active"))) !== "1") return [];
  return [
    "Simultaneous multithreading is on, so a virtual machine can learn from the caches what another one on the same core does. Turn it off: boot with nosmt, or echo off > /sys/devices/system/cpu/smt/control",
  ];
}

async function ksm(root: string): Promise<readonly string[]> {
  if ((await textOf(join(root, "sys/kernel/mm/ksm/run"))) !== "1") return [];
  return [
    "The kernel merges equal pages of memory (KSM), so a virtual machine can learn by timing what is in the memory of another one. Turn it off: echo 2 > /sys/kernel/mm/ksm/run",
  ];
}

async function swap(root: string): Promise<readonly string[]> {
  const [, ...areas] = (await textOf(join(root, "proc/swaps")))?.split("\n") ?? [];
  const names = areas.map((area) => printable(area.split(/\s+/)[0] ?? "")).filter(Boolean);
  if (names.length === 0) return [];
  return [
    `Swap is on (${names.join(", ")}), so the memory of virtual machines with its secrets can reach a disk and stay there. Turn it off: swapoff -a, and remove it from /etc/fstab. Or encrypt it.`,
  ];
}

async function vulnerabilities(root: string): Promise<readonly string[]> {
  const directory = join(root, cpuDirectory, "vulnerabilities");
  const names = await readdir(directory).catch((error: unknown) => {
    if (errorCode(error) === "ENOENT") return null;
    throw error;
  });
  if (names === null) {
    return ["The kernel does not say which vulnerabilities the processor has. Use a kernel of Linux 4.15 or later."];
  }
  const found: string[] = [];
  for (const name of names.sort()) {
    const state = (await textOf(join(directory, name))) ?? "";
    if (/^vulnerable/i.test(state)) found.push(`${name} (${printable(state)})`);
  }
  if (found.length === 0) return [];
  return [
    `The processor has vulnerabilities without mitigation: ${found.join(", ")}. Update the kernel and the processor's microcode, and remove mitigations=off from the kernel's arguments.`,
  ];
}

/** `undefined`: this kernel or processor does not have the file. */
async function textOf(path: string): Promise<string | undefined> {
  try {
    return (await readFile(path, "utf8")).trim();
  } catch (error) {
    if (errorCode(error) === "ENOENT") return undefined;
    throw error;
  }
}

const printable = (text: string): string => text.replace(/[^ -~]/g, "?");
