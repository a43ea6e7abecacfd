import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { GuestStarts } from "./guest-starts.ts";
import { FirecrackerMonitor } from "./monitor/firecracker/firecracker-monitor.ts";
import { type FirecrackerWorld, makeFirecrackerWorld } from "./monitor/firecracker/testing/firecracker-world.ts";

const signal = AbortSignal.timeout(110_000);

describe.skipIf(process.geteuid?.() !== 0)("a snapshot that another version made", () => {
  let world: FirecrackerWorld;
  let starts: GuestStarts;
  let directory: string;
  const problems: unknown[] = [];

  beforeAll(async () => {
    world = await makeFirecrackerWorld("stand-in");
    directory = join(world.directory, "snapshots");
    starts = new GuestStarts({
      monitor: new FirecrackerMonitor(world.options),
      directory,
      planAlike: async () => {
        const plan = await world.plan({ disks: [null] });
        const scratch = join(world.directory, `scratch-${plan.id}`);
        await mkdir(scratch);
        const remove = () => rm(scratch, { recursive: true, force: true });
        return { ...plan, scratch, [Symbol.asyncDispose]: remove };
      },
      onProblem: (problem) => void problems.push(problem),
    });
  });
  afterAll(async () => {
    await starts?.[Symbol.asyncDispose]();
    await world?.[Symbol.asyncDispose]();
  });

  const start = async () => {
    await using _vm = await starts.start(await world.plan({ disks: [null] }), { signal });
    await starts.settled();
    expect(problems).toEqual([]);
    const [name = "none"] = await readdir(directory);
    return join(directory, name);
  };

  it.for([
    ["monitor", (text: string) => text.replace(/"version":"[^"]*"/, '"version":"1.16.0"')],
    ["kernel", (text: string) => text.replace(/"kernel":"/, '"kernel":"old-')],
    ["format", (text: string) => text.replace('"format":1', '"format":0')],
  ] as const)("with another %s is replaced, and its machine starts", async ([, change]) => {
    const record = join(await start(), "snapshot.json");
    const text = await readFile(record, "utf8");
    await writeFile(record, change(text));
    expect(join(await start(), "snapshot.json")).toBe(record);
    expect(await readFile(record, "utf8")).toBe(text);
  });

  it("that the monitor refuses is replaced, and its machine starts", async () => {
    const state = join(await start(), "state");
    const text = await readFile(state, "utf8");
    await rm(state);
    await writeFile(state, "{", { mode: 0o444 });
    await start();
    expect(await readFile(state, "utf8")).toBe(text);
  });
});
