import { copyFile, mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { temporaryDirectory } from "@airlock/test-kit";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { type InstallOptions, install } from "./install.ts";

const debian = 'NAME="Debian GNU/Linux"\nID=debian\n';
let stack: AsyncDisposableStack;
let path: string;
let lines: string[];

beforeEach(async () => {
  stack = new AsyncDisposableStack();
  path = stack.use(await temporaryDirectory()).path;
  lines = [];
});

afterEach(async () => {
  await stack.disposeAsync();
});

function run(target: string, more: Partial<InstallOptions> = {}) {
  return install({
    target,
    path,
    guestDir: join(path, "data", "guest"),
    guest: {},
    proxyEnvironment: {},
    isRoot: true,
    osRelease: debian,
    print: (line) => void lines.push(line),
    ...more,
  });
}

/** Creates a fake `apt-get` that records its arguments and then runs `script`. */
async function aptGet(script: string): Promise<() => Promise<string>> {
  const log = join(path, "asked");
  await writeFile(log, "");
  await writeFile(join(path, "apt-get"), `#!/bin/sh\necho "$*" >> ${log}\n${script}\n`, { mode: 0o755 });
  return () => readFile(log, "utf8");
}

describe("executor install", () => {
  it("installs missing programs, and does not touch installed ones", async () => {
    const asked = await aptGet("exit 0");
    for (const name of ["git", "ip", "unshare", "mkfs.ext4"]) await writeFile(join(path, name), "", { mode: 0o755 });

    await run("all");

    expect(await asked()).toBe("-qq install -y --no-install-recommends crun nftables conntrack\n");
    await run("git");
    expect(lines.at(-1)).toContain("already installed");
  });

  it("refreshes the package lists when installing fails, and reports it if that does not help", async () => {
    const asked = await aptGet('case "$*" in *update) exit 0;; *) exit 100;; esac');

    await expect(run("runc")).rejects.toMatchObject({ code: "install-failed", hint: expect.stringContaining("runc") });

    expect((await asked()).split("\n").filter((line) => line !== "")).toHaveLength(3);
  });

  for (const [isRoot, osRelease, hint] of [
    [false, debian, "sudo apt-get install -y crun"],
    [true, "ID=fedora\n", "dnf install -y crun"],
    [true, "ID=alpine\n", "apk add crun"],
    [true, "", "package manager of this system"],
  ] as const) {
    it(`names the command to run ${isRoot ? "as root" : "without root"} on ${osRelease.trim() || "an unknown system"}`, async () => {
      await expect(run("crun", { isRoot, osRelease })).rejects.toMatchObject({
        code: "install-manually",
        hint: expect.stringContaining(hint),
      });
    });
  }

  it("says what does not need to be installed, and refuses unknown programs with the next step", async () => {
    await run("src-cli");
    await run("iptables-rules");
    expect(lines.join("\n")).toMatch(/src-cli is not needed[\s\S]*nftables/);
    for (const target of ["ignite", "image", "cni"]) {
      await expect(run(target)).rejects.toThrow(/does not use .*executor install/);
    }
    await expect(run("crum")).rejects.toThrow("did you mean crun?");
  });

  it("stops apt-get and reports that when it is aborted", async () => {
    await aptGet(`echo $$ > ${join(path, "pid")}; exec /bin/sleep 600`);
    const installing = run("runc").catch((error: unknown) => error);
    const pid = await vi.waitUntil(() => readFile(join(path, "pid"), "utf8").catch(() => ""), { timeout: 10_000 });
    process.emit("SIGTERM", "SIGTERM");
    expect(await installing).toMatchObject({ code: "install-failed", message: expect.stringContaining("SIGTERM") });
    expect(() => process.kill(Number(pid), 0)).toThrow("ESRCH");
  });

  it("reports a missing apt-get", async () => {
    await expect(run("runc")).rejects.toMatchObject({ code: "install-failed", message: "apt-get cannot be run" });
  });

  it("installs what builds guests only if they are not copied", async () => {
    const asked = await aptGet("exit 0");
    await expect(run("microvm", { guest: { from: join(path, "empty") } })).rejects.toThrow("has no files");
    expect(await asked()).toBe(
      "-qq install -y --no-install-recommends qemu-system-x86 nftables iproute2 util-linux e2fsprogs busybox-static\n",
    );
    const kernelPackage = join(path, "missing.deb");
    await expect(run("microvm", { guest: { kernelPackage } })).rejects.toThrow("missing.deb is not a Debian package");
    expect(await asked()).toMatch(
      /qemu-system-x86 nftables iproute2 util-linux e2fsprogs busybox-static musl-tools .*xz-utils lz4 zstd\n$/,
    );
  });

  it("installs a busybox that works without libraries, if the one that is there needs them", async () => {
    const asked = await aptGet("exit 0");
    await copyFile("/bin/sh", join(path, "busybox"));
    await expect(run("microvm", { guest: { from: join(path, "empty") } })).rejects.toThrow("has no files");
    expect(await asked()).toContain("busybox-static");
    await copyFile("/bin/busybox", join(path, "busybox"));
    await expect(run("microvm", { guest: { from: join(path, "empty") } })).rejects.toThrow("has no files");
    expect((await asked()).split("\n").at(-2)).not.toContain("busybox-static");
  });

  it("refuses sources of guests that contradict each other, and for other targets", async () => {
    const both = run("microvm", { guest: { from: "/guest", kernelPackage: "/linux.deb" } });
    await expect(both).rejects.toMatchObject({
      code: "install-target",
      hint: expect.stringContaining("--from /guest"),
    });
    await expect(run("git", { guest: { docker: true } })).rejects.toThrow("--docker is only for the target microvm");
    await expect(run("git", { guest: { from: "/guest" } })).rejects.toThrow("--from is only for the target microvm");
    await expect(run("all", { guest: { kernelPackage: "x" } })).rejects.toThrow("--kernel-package is only for");
  });

  it("does not mistake a directory for a program", async () => {
    const asked = await aptGet("exit 0");
    await mkdir(join(path, "crun"));

    await run("crun");

    expect(await asked()).toContain("crun");
  });
});
