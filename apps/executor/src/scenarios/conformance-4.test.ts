import { describeExecutor, describeWithEngines } from "@airlock/test-kit";
import { conformanceTarget } from "../testing/conformance-target.ts";

describeWithEngines(["oci", "network"], "the executor, by the protocol of 4.x alone", () => {
  describeExecutor("4.x", conformanceTarget);
});
