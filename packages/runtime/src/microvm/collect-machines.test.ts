import { existsSync, mkdirSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { temporaryDirectory } from "@airlock/test-kit";
import { expect, it } from "vitest";
import { findCgroupHost } from "../host/cgroups/cgroup-host.ts";
import { createMicrovmRuntime } from "./microvm-runtime.ts";
import { shortName } from "./short-name.ts";

const { signal } = new AbortController();

it("the collection of machines leaves alone what a job makes that starts meanwhile", async () => {
  await using directory = await temporaryDirectory("vm-");
  const runtime = await createMicrovmRuntime({
    stateDir: directory.path,
    guest: { kernel: "/nonexistent/kernel", initrd: "/nonexistent/initrd" },
    monitorFor: () => expect.unreachable("no machine is started"),
    cgroupHost: await findCgroupHost(),
  });
  try {
    const owner = `collect-${process.pid}`;
    const machines = join(directory.path, "vms", shortName(owner));
    const [left, starting] = ["left", "starting"].map((id) => join(machines, shortName(`executor-${id}`)));
    await mkdir(left ?? "", { recursive: true });
    const keep = new Set<string>();
    const collecting = runtime.collect({ owner, keep, signal });
    keep.add("starting");
    mkdirSync(starting ?? "");
    await collecting;
    expect([left, starting].map((path) => existsSync(path ?? ""))).toEqual([false, true]);
  } finally {
    await runtime.close();
  }
});
