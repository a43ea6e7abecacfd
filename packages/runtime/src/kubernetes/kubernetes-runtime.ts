import { randomBytes } from "node:crypto";
import { startDeadline } from "@airlock/async";
import { AirlockError } from "@airlock/job";
import { CoreV1Api, type KubeConfig, type V1Pod } from "@kubernetes/client-node";
import { abandonable } from "../contract/abandonable.ts";
import { checkLimits } from "../contract/check-limits.ts";
import {
  type Abortable,
  type Collected,
  onlyMachinesHaveDocker,
  type Runtime,
  type RuntimeDescription,
  refuseDocker,
  runtimeFailed,
  type Sandbox,
  type SandboxPlan,
} from "../contract/index.ts";
import { refuseUnenforcedLimits, type UnenforcedLimits } from "../contract/unenforced-limits.ts";
import { defaultImagePolicy, type ImagePolicy } from "../images/policy/image-policy.ts";
import { processLimits } from "../isolation/process-limits.ts";
import { GuestAgent } from "../microvm/guest/guest-agent.ts";
import { guestStepFilter } from "../microvm/guest/seccomp/guest-step-filter.ts";
import { putGuestFiles } from "../microvm/put-guest-files.ts";
import { agentNotStarted } from "./agent-not-started.ts";
import { AgentSession } from "./agent-session.ts";
import { connectionRefused, podRefused, secretRefused, statusOf } from "./api-failure.ts";
import { type CallOptions, callApi } from "./call-api.ts";
import { clusterVersion } from "./cluster-version.ts";
import { connectAgent } from "./connect-agent.ts";
import { KubernetesSandbox } from "./kubernetes-sandbox.ts";
import { nodeLost } from "./lost-node.ts";
import { podFailure } from "./pod-failure.ts";
import { labelOf, ownerLabel, podName, sandboxAnnotation } from "./pod-names.ts";
import { type PodEgressOptions, PodNetworks } from "./pod-networks.ts";
import type { PodOptions } from "./pod-options.ts";
import { makePod } from "./pod-spec.ts";
import { PodWatch } from "./pod-watch.ts";
import { makePullSecret, pullSecretName } from "./pull-secret.ts";
import { putCheckout } from "./put-checkout.ts";
import { scheduled } from "./scheduled.ts";
import { StepSlots } from "./step-slots.ts";

export interface KubernetesRuntimeOptions {
  readonly config: KubeConfig;
  readonly namespace: string;
  readonly pods: PodOptions;
  /** How long pods without an executor stay after their end. Default: 1 hour. */
  readonly keepEndedMs?: number;
  /** How long a pod may wait for a node. Default: 2 minutes. */
  readonly schedulingMs?: number;
  /** How long a pod's agent may take to start on its node. Default: 2 minutes. */
  readonly startingMs?: number;
  /** How long an agent may be silent while its node is not ready. Default: 1 minute. */
  readonly lostNodeMs?: number;
  /** Which images jobs may use. Default: all. */
  readonly images?: ImagePolicy;
  /** Whether system calls of steps outside the allow-list fail. Default: true. */
  readonly seccomp?: boolean;
  /** Networks of jobs. Default: only what is always closed stays closed. */
  readonly egress?: PodEgressOptions;
  /** What happens to jobs whose limit of processes the cluster does not enforce. */
  readonly unenforcedLimits: UnenforcedLimits;
}

const limitsProblem =
  "Kubernetes has no limit for the processes of one pod. Set podPidsLimit of the kubelets, and EXECUTOR_UNENFORCED_LIMITS=none.";
const defaultSchedulingMs = 120_000;
const defaultStartingMs = 120_000;
const defaultLostNodeMs = 60_000;
/** How long the API server may be away when a pod is to be deleted. `collect` deletes it later. */
const deletionRequestMs = 5_000;
/** How long the kubelet may take to end a pod. */
const deletionMs = 60_000;
const keptEndedMs = 3_600_000;
const silentMs = 600_000;

/** The runtime that runs each job in a pod of its own. */
export function createKubernetesRuntime(options: KubernetesRuntimeOptions): Runtime {
  return new CreatedKubernetesRuntime(options);
}

class CreatedKubernetesRuntime implements Runtime {
  readonly name = "kubernetes";
  readonly #options: KubernetesRuntimeOptions;
  readonly #api: CoreV1Api;
  readonly #networks: PodNetworks;
  readonly #watches = new Map<string, PodWatch>();
  readonly #filter = guestStepFilter({ cpu: "x64", allowListed: true });

  constructor(options: KubernetesRuntimeOptions) {
    this.#options = options;
    this.#api = options.config.makeApiClient(CoreV1Api);
    const { config, namespace, egress = {} } = options;
    this.#networks = new PodNetworks({ config, namespace, egress, calls: (signal) => this.#calls(signal) });
  }

  async describe({ signal }: Abortable): Promise<RuntimeDescription> {
    signal.throwIfAborted();
    const gitVersion = await clusterVersion(this.#options.config);
    return {
      version: gitVersion,
      components: [{ name: "kubernetes", version: gitVersion }],
      enforces: {
        cpu: true,
        memory: true,
        pids: false,
        egressNone: true,
        egressPublic: true,
        egressAllow: true,
        disk: "watcher",
      },
      checkoutOwner: null,
      limitsProblem,
      dockerProblem: onlyMachinesHaveDocker,
      hasHostImage: false,
      notes: [limitsProblem],
    };
  }

  async createSandbox(plan: SandboxPlan, { signal }: Abortable): Promise<Sandbox> {
    signal.throwIfAborted();
    const { config, namespace, pods, unenforcedLimits } = this.#options;
    if (!/^[a-z0-9-]{1,60}$/.test(plan.id) || !/^[a-z0-9-]{1,40}$/.test(plan.owner)) {
      throw runtimeFailed(`"${plan.owner}" and "${plan.id}" are not valid in a sandbox's name`);
    }
    checkLimits(plan.limits);
    refuseDocker(plan, onlyMachinesHaveDocker);
    refuseUnenforcedLimits(unenforcedLimits, { enforces: { cpu: true, memory: true, pids: false }, limitsProblem });
    const undo = new AsyncDisposableStack();
    try {
      const network = await abandonable(this.#networks.prepare(plan, signal), signal);
      undo.defer(() => network.remove());
      await network.create(signal);
      const watch = this.#watchOf(plan.owner);
      const name = podName(plan);
      const pod = await this.#createPod(plan, watch, signal);
      // Before the first step there is nothing to wait for. A kubelet that pulls an image confirms no deletion.
      let withoutKubelet = true;
      undo.defer(() => this.#delete(name, watch, { force: withoutKubelet }));
      const owned = network.own(pod, signal);
      owned.catch(() => {});
      await this.#putPullSecret(pod, plan, signal);
      const ended = new AbortController();
      void watch
        .until(name, (pod) => podFailure(pod) ?? undefined, AbortSignal.any([ended.signal]))
        .then(
          (reason) => ended.abort(reason),
          () => {},
        );
      undo.defer(() => ended.abort(runtimeFailed("the sandbox is disposed")));
      await scheduled(watch, name, {
        timeoutMs: this.#options.schedulingMs ?? defaultSchedulingMs,
        signal: AbortSignal.any([signal, ended.signal]),
        onWait: plan.onWait,
      });
      let latest: V1Pod | null = null;
      const { startingMs = defaultStartingMs, lostNodeMs = defaultLostNodeMs } = this.#options;
      const refused = new AbortController();
      const either = AbortSignal.any([signal, ended.signal, refused.signal]);
      using deadline = startDeadline(startingMs, () => agentNotStarted(latest, startingMs), either);
      const starting = deadline.signal;
      const isRunning = (pod: V1Pod | null) => {
        latest = pod;
        return pod?.status?.phase === "Running" ? pod : undefined;
      };
      const running = await watch.until(name, isRunning, starting);
      // The agent is in the same network as the steps, which start only after this proof.
      const proven = network.prove(running, starting);
      proven.catch((error) => refused.abort(statusOf(error) === 403 ? connectionRefused() : error));
      const session = new AgentSession({
        connect: (events) => connectAgent(config, { namespace, pod: name }, events),
        giveUpMs: pods.abandonSeconds * 1000,
      });
      undo.defer(() => void session.destroy());
      void nodeLost(watch, name, session, { patienceMs: lostNodeMs, signal: ended.signal }).then(
        (reason) => {
          withoutKubelet = true;
          ended.abort(reason);
        },
        () => {},
      );
      // A pod that has ended never answers again.
      ended.signal.addEventListener("abort", () => session.destroy(ended.signal.reason), { once: true });
      const greeting = { signal: starting, seed: randomBytes(32), time: new Date(), stallMs: silentMs };
      const agent = undo.use(await GuestAgent.connect(session, greeting));
      const services = [...(plan.services ?? []), ...network.services];
      agent.connection.serve(services);
      if (plan.workspace.checkout !== null) await putCheckout(agent, plan.workspace.checkout, signal);
      await putGuestFiles(agent, plan.workspace.files, signal);
      await owned;
      const note = await proven;
      const slots = new StepSlots({ config, api: this.#api, namespace, pod: name, watch, agent, options: pods });
      const resources = undo.move();
      withoutKubelet = false;
      return new KubernetesSandbox({
        plan: { ...plan, services },
        notes: note === null ? [] : [note],
        agent,
        slots,
        images: this.#options.images ?? defaultImagePolicy,
        processLimits: await processLimits(),
        seccompFilter: this.#options.seccomp === false ? null : this.#filter,
        ended: ended.signal,
        release: async (hasStopped) => {
          withoutKubelet ||= hasStopped;
          await resources.disposeAsync();
        },
      });
    } catch (error) {
      // If the API server is away, `collect` deletes the pod later. The job needs to know the first problem.
      await undo.disposeAsync().catch(() => {});
      if (signal.aborted) throw signal.reason;
      if (error instanceof AirlockError) throw error;
      throw runtimeFailed(`cannot create the sandbox ${plan.id}`, error);
    }
  }

  async collect({
    owner,
    keep,
    signal,
  }: { readonly owner: string; readonly keep: ReadonlySet<string> } & Abortable): Promise<Collected> {
    const { namespace } = this.#options;
    const labelSelector = `${ownerLabel}=${labelOf(owner)}`;
    const { items } = await this.#api.listNamespacedPod({ namespace, labelSelector });
    const details: string[] = [];
    const watch = this.#watchOf(owner);
    for (const pod of items) {
      signal.throwIfAborted();
      const { name = "", annotations = {} } = pod.metadata ?? {};
      const id = annotations[sandboxAnnotation] ?? "";
      if (keep.has(id)) continue;
      watch.add(pod);
      await this.#delete(name, watch);
      details.push(`pod ${name} of the job ${id}: deleted`);
    }
    const { keepEndedMs = keptEndedMs } = this.#options;
    details.push(...(await this.#networks.collect({ owner, keep, keepUnownedMs: keepEndedMs, signal })));
    const ended = await this.#collectEnded(signal);
    return { sandboxes: details.length + ended.length, details: [...details, ...ended] };
  }

  /**
   * Deletes pods that have ended long ago. An executor that lost its data directory has another name, and does
   * not find the pods that it left.
   */
  async #collectEnded(signal: AbortSignal): Promise<string[]> {
    const { namespace, keepEndedMs = keptEndedMs } = this.#options;
    const fieldSelector = "status.phase!=Pending,status.phase!=Running";
    const { items } = await this.#api.listNamespacedPod({ namespace, labelSelector: ownerLabel, fieldSelector });
    const details: string[] = [];
    for (const { metadata, status } of items) {
      signal.throwIfAborted();
      const name = metadata?.name ?? "";
      const endedAt = status?.containerStatuses?.[0]?.state?.terminated?.finishedAt ?? metadata?.creationTimestamp;
      if (endedAt === undefined || Date.now() - endedAt.getTime() < keepEndedMs) continue;
      await this.#api.deleteNamespacedPod({ name, namespace }).catch((error: unknown) => {
        if (statusOf(error) !== 404) throw error;
      });
      details.push(`pod ${name} that ended at ${endedAt.toISOString()}: deleted`);
    }
    return details;
  }

  /** The cluster's nodes remove images themselves. */
  async evictImages(): Promise<readonly string[]> {
    return [];
  }

  async close(): Promise<void> {
    for (const watch of this.#watches.values()) watch[Symbol.dispose]();
  }

  #watchOf(owner: string): PodWatch {
    const known = this.#watches.get(owner);
    if (known) return known;
    const { config, namespace } = this.#options;
    const watch = new PodWatch({ config, api: this.#api, namespace, labelSelector: `${ownerLabel}=${labelOf(owner)}` });
    this.#watches.set(owner, watch);
    return watch;
  }

  async #createPod(plan: SandboxPlan, watch: PodWatch, signal: AbortSignal): Promise<V1Pod> {
    const { namespace, pods } = this.#options;
    const body = makePod(plan, pods);
    try {
      const pod = await callApi(async (isRepeated) => {
        try {
          return await this.#api.createNamespacedPod({ namespace, body });
        } catch (error) {
          // An earlier request arrived, and its answer was lost.
          if (!isRepeated || statusOf(error) !== 409) throw error;
          return await watch.until(podName(plan), (made) => made ?? undefined, signal);
        }
      }, this.#calls(signal));
      watch.add(pod);
      return pod;
    } catch (error) {
      throw podRefused(error);
    }
  }

  /** The Secret belongs to the pod, so it can't exist before it. The kubelet reads it for each step's container. */
  async #putPullSecret(pod: V1Pod, { registryAuth }: SandboxPlan, signal: AbortSignal): Promise<void> {
    const { namespace } = this.#options;
    const name = pullSecretName(pod.metadata?.name ?? "", registryAuth);
    if (name === null || registryAuth === undefined) return;
    const body = makePullSecret(name, pod, registryAuth);
    try {
      await callApi(async (isRepeated) => {
        try {
          await this.#api.createNamespacedSecret({ namespace, body });
        } catch (error) {
          if (!isRepeated || statusOf(error) !== 409) throw error;
        }
      }, this.#calls(signal));
    } catch (error) {
      throw secretRefused(error);
    }
  }

  #calls(signal: AbortSignal): CallOptions {
    return { signal, giveUpMs: this.#options.pods.abandonSeconds * 1000 };
  }

  /**
   * Deletes a pod, and waits until the kubelet has ended its processes.
   * @param options.force Don't wait for the kubelet, because the agent has ended all processes, or the node is lost.
   */
  async #delete(name: string, watch: PodWatch, { force = false } = {}): Promise<void> {
    if (!(await this.#requestDeletion(name, force ? 0 : 1))) return;
    const gone = (pod: V1Pod | null) => (pod === null ? true : undefined);
    const patience = AbortSignal.timeout(deletionMs);
    try {
      await watch.until(name, gone, patience);
    } catch (error) {
      if (!patience.aborted) throw error;
      // The kubelet of a lost node confirms nothing. If it comes back, it ends pods that the API server does not have.
      await this.#requestDeletion(name, 0);
      await watch.until(name, gone, AbortSignal.timeout(deletionMs));
    }
  }

  /** Returns whether there is such a pod. */
  async #requestDeletion(name: string, gracePeriodSeconds: number): Promise<boolean> {
    const { namespace } = this.#options;
    try {
      const calls = { signal: new AbortController().signal, giveUpMs: deletionRequestMs };
      await callApi(() => this.#api.deleteNamespacedPod({ name, namespace, gracePeriodSeconds }), calls);
      return true;
    } catch (error) {
      if (statusOf(error) === 404) return false;
      throw error;
    }
  }
}
