import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { promisify } from "node:util";
import { cpioArchive } from "@airlock/runtime/microvm";

const run = promisify(execFile);

/** The kernel of our guests with an init that prints `hi`, and then powers off or waits. */
export interface BareGuest {
  readonly qemu: string;
  readonly kernel: string;
  readonly initrd: string;
  readonly memoryBytes: number;
}

const source = (last: string) => `
#include <sys/reboot.h>
#include <unistd.h>
int main(void) {
  write(1, "hi\\n", 3);
  ${last}
}`;

/** Compiles the smallest init that can be measured. It needs the compiler of the guest's agent. */
export async function makeBareInitrd(directory: string, end: "powers off" | "waits"): Promise<string> {
  const name = path.join(directory, end.replace(" ", "-"));
  await writeFile(`${name}.c`, source(end === "waits" ? "for (;;) pause();" : "return reboot(RB_AUTOBOOT);"));
  await run("musl-gcc", ["-static", "-Os", "-o", name, `${name}.c`]);
  const entries = [
    { path: "init", mode: 0o755, content: await readFile(name) },
    { path: "dev", mode: 0o755, content: null },
  ];
  await writeFile(`${name}.cpio`, cpioArchive(entries));
  return `${name}.cpio`;
}

/** Boots it in QEMU. Resolves when its first output has arrived, in milliseconds from the start of QEMU. */
export async function bootBareGuest({ qemu, kernel, initrd, memoryBytes }: BareGuest) {
  const startedAt = performance.now();
  // Arguments as for our machines, without their devices.
  const child = spawn(
    qemu,
    [
      ...["-nodefaults", "-no-user-config", "-no-reboot", "-display", "none"],
      ...["-machine", "microvm,acpi=on,usb=off", "-accel", "tcg,tb-size=64", "-cpu", "max", "-smp", "1"],
      ...["-m", `size=${Math.floor(memoryBytes / 2 ** 20)}M`, "-kernel", kernel, "-initrd", initrd],
      ...["-append", `quiet console=ttyS0 panic=-1 reboot=t ${await clockArguments()}`],
      ...["-serial", "stdio"],
    ],
    { stdio: ["ignore", "pipe", "inherit"] },
  );
  const exited = once(child, "exit");
  let text = "";
  for await (const piece of child.stdout) {
    text += String(piece);
    if (text.includes("hi")) break;
  }
  if (!text.includes("hi")) throw new Error(`the bare guest printed ${JSON.stringify(text)}`);
  const ms = performance.now() - startedAt;
  return {
    ms,
    pid: child.pid ?? 0,
    [Symbol.asyncDispose]: async () => {
      child.kill("SIGKILL");
      await exited;
    },
  };
}

/** Without these, a guest under emulation may hang while it measures its clocks. */
async function clockArguments(): Promise<string> {
  const [, megahertz = "2000"] = /^cpu MHz\s*:\s*([\d.]+)$/m.exec(await readFile("/proc/cpuinfo", "utf8")) ?? [];
  return `tsc_early_khz=${Math.round(Number(megahertz) * 1000)} tsc=reliable no_timer_check`;
}
