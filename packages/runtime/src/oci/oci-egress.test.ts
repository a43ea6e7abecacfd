import { describeWithEngines } from "@airlock/test-kit";
import { describe } from "vitest";
import { describeRuntimeEgress } from "../egress/testing/describe-runtime-egress.ts";
import { findOnSystemPath } from "../host/find-program.ts";
import { createOciRuntime, type OciRuntimeOptions } from "./index.ts";

const programs: readonly [string, Pick<OciRuntimeOptions, "runtimePath" | "gvisor">][] = [["oci runtime", {}]];
const runscPath = await findOnSystemPath(["runsc"]);
const onGvisor = runscPath === undefined ? [] : [["oci runtime on gVisor", gvisor(runscPath)] as const];

function gvisor(runtimePath: string): Pick<OciRuntimeOptions, "runtimePath" | "gvisor"> {
  return { runtimePath, gvisor: { platform: "ptrace" } };
}

describeWithEngines(["oci", "network"], "egress", () => {
  describe.each([...programs, ...onGvisor])("of the %s", (_name, program) =>
    describeRuntimeEgress({
      owner: `oci-egress-${process.pid}`,
      create: ({ stateDir, egress }) => createOciRuntime({ stateDir, ...program, allowHostImage: false, egress }),
    }),
  );
});
