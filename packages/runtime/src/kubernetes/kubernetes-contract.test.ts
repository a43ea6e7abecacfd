import { describeRuntime } from "@airlock/test-kit";
import { kubernetesUnderTest } from "./testing/kubernetes-under-test.ts";

describeRuntime("kubernetes", ["kubernetes"], kubernetesUnderTest, {
  emptyNetwork: false,
  isCluster: true,
  concurrent: true,
});
