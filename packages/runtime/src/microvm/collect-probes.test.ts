import { mkdir, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describeWithEngines, temporaryDirectory } from "@airlock/test-kit";
import { expect, it } from "vitest";
import { findCgroupHost } from "../host/cgroups/cgroup-host.ts";
import { collectProbes } from "./collect-probes.ts";
import { takeProbeOwner } from "./probe-owner.ts";
import { shortName } from "./short-name.ts";

const signal = new AbortController().signal;

describeWithEngines(["oci"], "machines that found out what works", () => {
  it.skipIf(process.geteuid?.() !== 0)(
    "are removed after their process was killed, and not while it runs",
    async () => {
      await using directory = await temporaryDirectory();
      const cgroupHost = await findCgroupHost();
      using own = await takeProbeOwner();
      using running = await takeProbeOwner();
      const killed = await takeProbeOwner();
      killed[Symbol.dispose]();
      for (const { owner } of [running, killed]) {
        await cgroupHost.create(owner, "machine", { cpus: 1, memoryBytes: 64 * 2 ** 20, pids: 10 });
        const machine = join(directory.path, "vms", shortName(owner), "machine");
        await mkdir(machine, { recursive: true });
        await writeFile(join(machine, "empty"), "");
      }

      await collectProbes(directory.path, { cgroupHost, own: own.owner, signal });

      expect(await readdir(join(directory.path, "vms"))).toEqual([shortName(running.owner)]);
      expect([...(await cgroupHost.list(killed.owner))]).toEqual([]);
      expect([...(await cgroupHost.list(running.owner))]).toEqual(["machine"]);

      running[Symbol.dispose]();
      await collectProbes(directory.path, { cgroupHost, own: own.owner, signal });
      expect(await readdir(join(directory.path, "vms"))).toEqual([]);
      expect([...(await cgroupHost.list(running.owner))]).toEqual([]);
    },
  );
});
