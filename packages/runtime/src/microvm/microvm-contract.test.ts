import { describeRuntime } from "@airlock/test-kit";
import { microvmUnderTest } from "./testing/microvm-under-test.ts";

describeRuntime("microvm", ["microvm"], () => microvmUnderTest(), { sharesKernel: false });
