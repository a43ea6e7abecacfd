import type { Config } from "../../config/options.ts";
import { limitsOf } from "../../job/job-plan.ts";
import { kubernetesOptions } from "../create-runtime.ts";
import type { Check } from "./check.ts";

/** Checks the executor's rights in the cluster, and lets the cluster judge a pod as of a job that asks for nothing. */
export function checkKubernetes(config: Config): Check {
  return {
    name: "kubernetes",
    run: async ({ note, signal }) => {
      const { inspectCluster } = await import("@airlock/runtime/kubernetes");
      const limits = limitsOf({}, config.job);
      const { version, server } = await inspectCluster(kubernetesOptions(config), { signal, limits, note });
      return `${version} at ${server}, namespace ${config.runtime.kubernetes.namespace}`;
    },
  };
}
