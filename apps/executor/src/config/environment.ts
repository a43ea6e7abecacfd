import { z } from "zod";
import { egressVariables } from "./variables/egress.ts";
import { hardeningVariables } from "./variables/hardening.ts";
import { imagesVariables } from "./variables/images.ts";
import { instanceVariables } from "./variables/instance.ts";
import { jobVariables } from "./variables/job.ts";
import { kubernetesVariables } from "./variables/kubernetes.ts";
import { logVariables } from "./variables/log.ts";
import { proxyVariableSchemas } from "./variables/proxies.ts";
import { runtimeVariables } from "./variables/runtime.ts";
import { versionVariables } from "./variables/versions.ts";
import { workerVariables } from "./variables/worker.ts";
import { workspaceVariables } from "./variables/workspace.ts";

/** Every variable that the executor reads, in the groups and the order of the documentation. */
export const variableGroups = {
  "The instance": instanceVariables,
  Proxies: proxyVariableSchemas,
  "The executor": workerVariables,
  "One job": jobVariables,
  Workspaces: workspaceVariables,
  "The runtime": runtimeVariables,
  Kubernetes: kubernetesVariables,
  "Isolation of steps": hardeningVariables,
  "Networks of jobs": egressVariables,
  Images: imagesVariables,
  "Versions of programs": versionVariables,
  Logs: logVariables,
} satisfies Readonly<Record<string, Readonly<Record<string, z.ZodType>>>>;

export const Environment = z.object({
  ...instanceVariables,
  ...proxyVariableSchemas,
  ...workerVariables,
  ...jobVariables,
  ...workspaceVariables,
  ...runtimeVariables,
  ...kubernetesVariables,
  ...hardeningVariables,
  ...egressVariables,
  ...imagesVariables,
  ...versionVariables,
  ...logVariables,
});
