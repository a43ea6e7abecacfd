import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Sandbox } from "@airlock/runtime";
import { walkBeneath } from "@airlock/runtime/host-disk";
import { temporaryDirectory } from "@airlock/test-kit";
import { expect, it } from "vitest";
import { OutputGlobs } from "./output-globs.ts";
import { emptyReport, packOutputs } from "./pack-outputs.ts";

it("outputs after a too deeply nested directory are kept, and the log names the directory that is not", async () => {
  await using directory = await temporaryDirectory();
  const work = directory.path;
  const nested = (depth: number) => Array.from({ length: depth }, () => "d").join("/");
  for (const [top, depth] of [
    ["a", 999],
    ["b", 1001],
    ["c", 150],
  ] as const) {
    await mkdir(join(work, top, nested(depth)), { recursive: true });
    await writeFile(join(work, top, nested(depth), "file"), "x");
  }
  await writeFile(join(work, "z"), "x");
  const report = emptyReport();
  const sandbox: Pick<Sandbox, "walk"> = { walk: (path, walk) => walkBeneath(join(work, path), "", walk) };
  const limits = { maximumFiles: 100, maximumBytes: 1e6, maximumEntries: 10_000 };
  const signal = new AbortController().signal;
  const parts: Buffer[] = [];
  for await (const part of packOutputs(sandbox, new OutputGlobs(["**"]), report, { limits, signal })) parts.push(part);

  expect(report.files).toBe(3);
  expect(Buffer.concat(parts).includes(Buffer.from("z\0"))).toBe(true);
  expect(report.problems).toEqual([
    expect.stringMatching(/"b\/d.* not kept: the directory is nested more than 1000 levels deep$/),
  ]);
});
