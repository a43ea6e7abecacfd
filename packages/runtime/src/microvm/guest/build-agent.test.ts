import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { runProgram } from "@airlock/process";
import { temporaryDirectory } from "@airlock/test-kit";
import { expect, it } from "vitest";
import { buildAgent } from "./build-agent.ts";

/** Type of the ELF segment that names a dynamic linker. */
const interpreter = 3;

function segmentTypes(elf: Buffer): number[] {
  const start = Number(elf.readBigUInt64LE(32));
  const size = elf.readUInt16LE(54);
  return Array.from({ length: elf.readUInt16LE(56) }, (_, index) => elf.readUInt32LE(start + index * size));
}

const signal = AbortSignal.timeout(55_000);

it("builds the same bytes twice, as a static program", async () => {
  await using first = await temporaryDirectory();
  await using second = await temporaryDirectory();
  const built = await buildAgent({ output: join(first.path, "agent"), signal });
  const again = await buildAgent({ output: join(second.path, "other-name"), signal });
  expect(again).toEqual(built);
  expect(segmentTypes(await readFile(join(first.path, "agent")))).not.toContain(interpreter);
  expect((await stat(join(first.path, "agent"))).mode & 0o777).toBe(0o755);
});

it("is refused by a process that is not the first of a guest", async () => {
  await using directory = await temporaryDirectory();
  const output = join(directory.path, "agent");
  await buildAgent({ output, signal });
  const { exitCode, stderr } = await runProgram([output, "--fd", "0"], { signal });
  expect({ exitCode, stderr }).toEqual({ exitCode: 2, stderr: "airlock-agent: runs only as process 1 of a guest\n" });
});

it("leaves nothing behind when it can't build", async () => {
  await using directory = await temporaryDirectory();
  const aborted = AbortSignal.abort(new Error("canceled"));
  await expect(buildAgent({ output: join(directory.path, "agent"), signal: aborted })).rejects.toThrow("canceled");
  expect(await runProgram(["ls", "-A", directory.path])).toMatchObject({ stdout: "" });
});

it("says what to install when there is no compiler, or when it fails", async () => {
  await using directory = await temporaryDirectory();
  const output = join(directory.path, "agent");
  const missing = buildAgent({ output, signal, compilers: ["airlock-no-such-compiler"] });
  await expect(missing).rejects.toMatchObject({
    message: expect.stringMatching(/^no C compiler found/),
    hint: expect.stringContaining("musl-tools"),
  });
  const failing = buildAgent({ output, signal, compilers: ["false"] });
  await expect(failing).rejects.toMatchObject({
    message: expect.stringMatching(/false can't build the guest agent/),
    hint: expect.stringContaining("libc6-dev"),
  });
  expect(await runProgram(["ls", "-A", directory.path])).toMatchObject({ stdout: "" });
});
