import { describeExecutor, describeWithEngines } from "@airlock/test-kit";
import { conformanceTarget } from "../testing/conformance-target.ts";

describeWithEngines(["oci", "network"], "the executor, by the protocol of 2022 alone", () => {
  describeExecutor("2022", conformanceTarget);
});
