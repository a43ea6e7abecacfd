import { mkdirSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { setTimeout as pause } from "node:timers/promises";
import type { Sandbox } from "@airlock/runtime";
import { walkBeneath } from "@airlock/runtime/host-disk";
import { temporaryDirectory } from "@airlock/test-kit";
import { expect, it } from "vitest";
import { findChanges } from "./find-changes.ts";
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

it("the executor finds removed files next to thousands of too deeply nested directories without blocking its event loop", async () => {
  await using directory = await temporaryDirectory();
  const work = join(directory.path, "work");
  const deep = Array.from({ length: 1000 }, () => "d").join("/");
  const parent = join(work, deep);
  await mkdir(parent, { recursive: true });
  for (let index = 0; index < 3000; index += 1) mkdirSync(join(parent, String(index)));
  const file = { mode: "100644", object: "0".repeat(40), size: 1 };
  const removed = Array.from({ length: 20_000 }, (_, index) => `${deep.slice(4)}-removed-${index}`);
  const sandbox: Pick<Sandbox, "walk"> = { walk: (path, walk) => walkBeneath(join(work, path), "", walk) };
  using delay = monitorEventLoopDelay({ resolution: 10 });
  delay.enable();

  const changes = await findChanges({
    ...{ sandbox, directory: "", copyDir: directory.path, maximumBytes: 1e6, maximumEntries: 100_000 },
    tracked: new Map([...removed, `${deep}/7/e/tracked`].map((path) => [path, file])),
    signal: new AbortController().signal,
  });

  // A delay counts once the event loop has gone on.
  await pause(20);
  expect(changes.removed.map(String)).toEqual(removed);
  expect(delay.max / 1e6).toBeLessThan(3000);
}, 120_000);
