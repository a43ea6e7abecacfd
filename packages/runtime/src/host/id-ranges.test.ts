import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { temporaryDirectory } from "@airlock/test-kit";
import { expect, it, vi } from "vitest";
import { IdRanges } from "./id-ranges.ts";
import { loadSystemCalls } from "./system-calls.ts";

const ids = { base: 1_000_000, size: 4 * 65_536 };

async function rangesOf(lockFile: string, size = 65_536): Promise<IdRanges> {
  const calls = await loadSystemCalls();
  if ("problem" in calls) throw new Error(calls.problem);
  return new IdRanges({ ids, size, lockFile, calls });
}

it("id ranges of several executors do not overlap, whatever their sizes", async () => {
  await using directory = await temporaryDirectory("airlock-ids-");
  const lockFile = join(directory.path, "ids", "locks");
  const [narrow, wide] = [await rangesOf(lockFile), await rangesOf(lockFile, 2 * 65_536)];

  const one = wide.take().range;
  const two = [narrow.take().range, narrow.take().range];

  expect([one.base, two.map(({ base }) => base).toSorted()]).toBeOneOf([
    [ids.base, [ids.base + 131_072, ids.base + 196_608]],
    [ids.base + 131_072, [ids.base, ids.base + 65_536]],
  ]);
  for (const ranges of [narrow, wide]) expect(() => ranges.take()).toThrow("ranges of host ids");
});

it("an id range that was returned is given out again", async () => {
  await using directory = await temporaryDirectory("airlock-ids-");
  const ranges = await rangesOf(join(directory.path, "locks"));
  const held = [1, 2, 3, 4].map(() => ranges.take());

  held[2]?.[Symbol.dispose]();

  expect(ranges.take().range).toEqual(held[2]?.range);
});

it("the id ranges of a killed executor become free", async () => {
  await using directory = await temporaryDirectory("airlock-ids-");
  const lockFile = join(directory.path, "locks");
  const modules = ["id-ranges.ts", "system-calls.ts"].map((name) => fileURLToPath(new URL(name, import.meta.url)));
  const program = `
    const [{ IdRanges }, { loadSystemCalls }] = await Promise.all(process.argv.slice(1, 3).map((path) => import(path)));
    const [lockFile, ids] = process.argv.slice(3);
    const ranges = new IdRanges({ ids: JSON.parse(ids), size: 65536, lockFile, calls: await loadSystemCalls() });
    const held = [1, 2, 3, 4].map(() => ranges.take());
    setInterval(() => held, 1000);
    console.log("ready");`;
  const args = ["--input-type=module", "-e", program, "--", ...modules, lockFile, JSON.stringify(ids)];
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
  await once(child.stdout, "data");
  const ranges = await rangesOf(lockFile);
  expect(() => ranges.take()).toThrow("ranges of host ids");

  child.kill("SIGKILL");

  await vi.waitFor(() => expect(ranges.take().range.size).toBe(65_536), 5000);
});
