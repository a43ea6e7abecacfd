import { randomBytes } from "node:crypto";
import { AirlockError } from "@airlock/job";
import { AuthorizationV1Api, CoreV1Api, type KubeConfig } from "@kubernetes/client-node";
import type { Abortable, SandboxLimits } from "../contract/index.ts";
import { apiMessage, podRefused, statusOf } from "./api-failure.ts";
import { clusterVersion } from "./cluster-version.ts";
import { loadClusterConfig } from "./load-cluster-config.ts";
import type { ClusterOptions } from "./open-kubernetes-runtime.ts";
import { makePod } from "./pod-spec.ts";
import { requiredRules } from "./required-rules.ts";

/** What an executor finds in its cluster. */
export interface ClusterFinding {
  readonly version: string;
  readonly server: string;
}

interface InspectOptions extends Abortable {
  /** Limits of a job that asks for nothing. */
  readonly limits: SandboxLimits;
  /** Called with a sentence for each thing to know about the cluster. */
  readonly note: (text: string) => void;
}

/**
 * Checks everything in the cluster that jobs need, without running a pod.
 * @throws {AirlockError} that names all that is missing, each with the next step.
 */
export async function inspectCluster(
  { kubeconfig, ...options }: ClusterOptions,
  { signal, limits, note }: InspectOptions,
): Promise<ClusterFinding> {
  const config = await loadClusterConfig(kubeconfig);
  const server = config.getCurrentCluster()?.server ?? "";
  const version = await clusterVersion(config);
  signal.throwIfAborted();
  const { namespace, pods } = options;
  const { problems, allowed } = await checkRules(config, namespace, note);
  const api = config.makeApiClient(CoreV1Api);
  if (allowed.has("namespaces get")) for (const text of await notesOnNamespace(api, namespace)) note(text);
  if (allowed.has("resourcequotas list")) for (const text of await notesOnQuotas(api, namespace)) note(text);
  if (allowed.has("pods create")) {
    const problem = await dryRun(api, { ...options, limits });
    if (problem !== null) problems.push(problem);
  }
  const { nodeName } = pods.placement ?? {};
  if (nodeName !== undefined) {
    const problem = await checkNode(config, api, nodeName, note);
    if (problem !== null) problems.push(problem);
  }
  if (options.egress?.openNetworks === "allow")
    note(
      "Jobs run with an open network if the cluster does not enforce their egress policy (EXECUTOR_KUBERNETES_OPEN_NETWORKS=allow). Their logs say so.",
    );
  if (pods.stepPullPolicy !== "Always")
    note(
      `With the pull policy ${pods.stepPullPolicy}, a node gives a private image that one job has pulled to all jobs that name it. Always does not.`,
    );
  if (problems.length > 0) {
    throw new AirlockError(
      `the cluster at ${server} is not ready:\n${problems.map((each) => `- ${each}`).join("\n")}`,
      {
        code: "runtime",
        reason: "runtime",
        hint: "docs/kubernetes.md has the manifest of the namespace, the Role and its binding.",
      },
    );
  }
  return { version, server };
}

async function checkRules(config: KubeConfig, namespace: string, note: (text: string) => void) {
  const api = config.makeApiClient(AuthorizationV1Api);
  const problems: string[] = [];
  const allowed = new Set<string>();
  for (const { group, resource, verbs, why, optional } of requiredRules) {
    const [name = "", subresource] = resource.split("/");
    for (const verb of verbs) {
      const resourceAttributes = { namespace, group, resource: name, verb, ...(subresource ? { subresource } : {}) };
      const { status } = await api.createSelfSubjectAccessReview({ body: { spec: { resourceAttributes } } });
      const ofGroup = group === "" ? resource : `${resource}.${group}`;
      const missing = `may not ${verb} ${ofGroup} in the namespace ${namespace}, which it needs ${why}`;
      if (status?.allowed) allowed.add(`${resource} ${verb}`);
      else if (optional) note(`The executor ${missing}.`);
      else problems.push(`The executor ${missing}: add the verb to its Role.`);
    }
  }
  return { problems, allowed };
}

async function notesOnNamespace(api: CoreV1Api, name: string): Promise<string[]> {
  try {
    const { metadata } = await api.readNamespace({ name });
    const level = metadata?.labels?.["pod-security.kubernetes.io/enforce"];
    return [
      level === undefined
        ? `The namespace ${name} enforces no Pod Security level. Label it pod-security.kubernetes.io/enforce=restricted.`
        : `The namespace ${name} enforces the Pod Security level ${level}.`,
    ];
  } catch (error) {
    // The dry run reports a missing namespace as a problem.
    if (statusOf(error) === 404) return [];
    throw error;
  }
}

async function notesOnQuotas(api: CoreV1Api, namespace: string): Promise<string[]> {
  const { items } = await api.listNamespacedResourceQuota({ namespace });
  return items.map(({ metadata, status }) => {
    const used = Object.entries(status?.hard ?? {}).map(
      ([what, hard]) => `${what} ${status?.used?.[what] ?? "0"} of ${hard}`,
    );
    return `The ResourceQuota ${metadata?.name} has in use: ${used.join(", ")}.`;
  });
}

/** Lets admission judge a pod as of a job that asks for nothing. Returns why it is refused. */
async function dryRun(
  api: CoreV1Api,
  { namespace, pods, limits }: Omit<ClusterOptions, "kubeconfig"> & { readonly limits: SandboxLimits },
): Promise<string | null> {
  const body = makePod(
    {
      id: `validate-${randomBytes(4).toString("hex")}`,
      owner: "validate",
      workspace: { checkout: null, files: [], readOnlyFiles: [] },
      limits,
      egress: { kind: "none" },
    },
    pods,
  );
  try {
    await api.createNamespacedPod({ namespace, body, dryRun: "All" });
    return null;
  } catch (error) {
    if (statusOf(error) === undefined) throw error;
    const refused = podRefused(error);
    return `${refused.message}: ${refused.hint}`;
  }
}

/** Nodes are outside of the namespace, so most executors can't read them. Returns what is wrong with the name. */
async function checkNode(
  config: KubeConfig,
  api: CoreV1Api,
  name: string,
  note: (text: string) => void,
): Promise<string | null> {
  const resourceAttributes = { resource: "nodes", verb: "get", name };
  const reviews = config.makeApiClient(AuthorizationV1Api);
  const { status } = await reviews.createSelfSubjectAccessReview({ body: { spec: { resourceAttributes } } });
  if (!status?.allowed) {
    note(`The executor may not read nodes, so it can't tell whether the node ${name} exists.`);
    return null;
  }
  try {
    await api.readNode({ name });
    return null;
  } catch (error) {
    if (statusOf(error) !== 404)
      throw new Error(`cannot read the node ${name}: ${apiMessage(error)}`, { cause: error });
    return `The cluster has no node "${name}": correct EXECUTOR_KUBERNETES_NODE_NAME.`;
  }
}
