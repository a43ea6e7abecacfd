import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { temporaryDirectory } from "@airlock/test-kit";
import { describe, expect, it } from "vitest";
import { unnamedFileBytes } from "./disk-use.ts";

const mebibyte = 2 ** 20;

/** Starts a Python program and resolves once it holds its files open. */
async function holding(program: string, argument: string): Promise<AsyncDisposable & { readonly pid: number }> {
  const child = spawn("python3", ["-c", `${program}\nprint("ready", flush=True)\ninput()`, argument], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  await once(child.stdout, "data");
  return {
    pid: child.pid ?? 0,
    async [Symbol.asyncDispose]() {
      const exited = once(child, "exit");
      child.stdin.end("\n");
      await exited;
    },
  };
}

const deleted = `
import mmap, os, sys
file = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
os.write(file, b"x" * (8 << 20))
os.unlink(sys.argv[1])
`;

describe.skipIf(process.geteuid?.() !== 0)("deleted files", () => {
  it("count toward disk use while a process holds them open", async () => {
    await using directory = await temporaryDirectory();
    await using process = await holding(deleted, join(directory.path, "file"));

    expect(await unnamedFileBytes([process.pid])).toBe(8 * mebibyte);
  });

  it("count once per file while only a memory mapping holds them", async () => {
    await using directory = await temporaryDirectory();
    const mapped = `${deleted}held = [mmap.mmap(file, 8 << 20), mmap.mmap(file, 4 << 20)]\nos.close(file)`;
    // Python's mmap keeps its own descriptor, so close that one too.
    const alone = `${mapped}\nos.closerange(3, 100)`;
    await using process = await holding(alone, join(directory.path, "file"));

    expect(await unnamedFileBytes([process.pid])).toBe(8 * mebibyte);
  });

  it("do not count if they are in memory", async () => {
    const inMemory = 'import os\nfile = os.memfd_create("x")\nos.write(file, b"x" * (8 << 20))';
    await using process = await holding(inMemory, "");

    expect(await unnamedFileBytes([process.pid])).toBe(0);
  });
});
