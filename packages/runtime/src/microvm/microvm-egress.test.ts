import { describeWithEngines } from "@airlock/test-kit";
import { describeRuntimeEgress } from "../egress/testing/describe-runtime-egress.ts";
import { findCgroupHost } from "../host/cgroups/cgroup-host.ts";
import { createMicrovmRuntime } from "./microvm-runtime.ts";
import { testGuest, testQemuMonitor } from "./testing/test-guest.ts";

const owner = `egress-${process.pid}`;

describeWithEngines(["microvm", "network"], "egress of the microvm runtime", () =>
  describeRuntimeEgress({
    owner,
    async create({ stateDir, egress }) {
      const monitor = await testQemuMonitor({ owner });
      return await createMicrovmRuntime({
        stateDir,
        guest: await testGuest(),
        monitorFor: (name) => monitor.of(name),
        cgroupHost: await findCgroupHost(),
        onProblem: (problem) => process.stderr.write(`snapshot: ${problem}\n`),
        egress,
      });
    },
  }),
);
