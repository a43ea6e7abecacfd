import { AirlockError } from "@airlock/job";
import type { CoreV1Event, V1ContainerStatus, V1Pod, V1PodCondition } from "@kubernetes/client-node";
import { imageInvalid, imageUnavailable, imageUnusable, refusedByPolicy, runtimeFailed } from "../contract/errors.ts";

/** What registries answer about an image that does not exist, or that these credentials may not read. */
const unreadable =
  /not found|manifest unknown|does not exist|repository .* denied|insufficient_scope|authorization failed|401 unauthorized|403 forbidden/i;

/** Why a step's container can't start, as an error for the job. `null`: it may still start. */
export function stepContainerFailure(status: V1ContainerStatus | undefined, image: string): Error | null {
  const { waiting, terminated } = status?.state ?? {};
  const message = waiting?.message ?? terminated?.message ?? "";
  switch (waiting?.reason ?? terminated?.reason) {
    case "InvalidImageName":
      return imageInvalid(image, "has an invalid name");
    case "ErrImageNeverPull":
      return notOnNode(image);
    case "ErrImagePull":
    case "ImagePullBackOff":
      return pullFailure(image, message);
    case "CreateContainerError":
    case "CreateContainerConfigError":
    case "RunContainerError":
    case "StartError":
    case "ContainerCannotRun":
      return notStartable(image, message);
    default:
      return terminated ? runtimeFailed(`the step's container has ended: ${message || terminated.reason}`) : null;
  }
}

/** Why a step's container can't start, as the kubelet reports it at once. `null`: it may still start. */
export function containerEventFailure({ reason, message = "" }: CoreV1Event, image: string): Error | null {
  if (reason === "ErrImageNeverPull") return notOnNode(image);
  if (reason !== "Failed") return null;
  if (message.startsWith("Failed to pull image")) return pullFailure(image, message);
  // The kubelet also reports this way that it could not pull the image. An event with the reason came before.
  const isPull = /^Error: (?:ErrImage|ImagePull)/.test(message);
  return message.startsWith("Error: ") && !isPull ? notStartable(image, message.slice("Error: ".length)) : null;
}

function notStartable(image: string, message: string): Error {
  return imageUnusable(image, "can't be started", "Check the image's user, volumes and working directory.", message);
}

function notOnNode(image: string): Error {
  return refusedByPolicy(`image "${image}" is not on the node, and may not be pulled`, "Load the image on the nodes.");
}

function pullFailure(image: string, message: string): Error {
  const isUnknown = unreadable.test(message);
  if (isUnknown) return imageInvalid(image, "does not exist, or may not be read", message);
  if (/no match for platform/i.test(message)) return imageInvalid(image, "is not built for this node", message);
  return imageUnavailable(image, message, "Check that the cluster's nodes can reach the registry.");
}

/** What the kubelet says when it ends a pod for its own use of the disk, not for a lack of space on the node. */
const fullDisk = /emptydir volume .* exceeds the limit|ephemeral (?:local )?storage (?:usage exceeds|limit)/i;

function diskFull(message: string): Error {
  return new AirlockError(`the job's disk is full: ${message.trim()}`, {
    code: "disk-full",
    reason: "step-failed",
    hint: "Write less, or raise resources.disk.",
  });
}

/** Why a pod has ended or can't run. `null`: it may still run. */
export function podFailure(pod: V1Pod | null): Error | null {
  if (!pod) return deleted(pod);
  const { phase, reason, message } = pod.status ?? {};
  if (phase === "Failed" || phase === "Succeeded") {
    if (reason === "Evicted" && fullDisk.test(message ?? "")) return diskFull(message ?? "");
    if (!reason && pod.metadata?.deletionTimestamp) return deleted(pod);
    return runtimeFailed(`the job's pod has ended${reason ? ` (${reason})` : ""}${message ? `: ${message}` : ""}`);
  }
  // The pod of a lost node stays in this state.
  if (pod.metadata?.deletionTimestamp) return deleted(pod);
  const agent = pod.status?.containerStatuses?.[0]?.state?.waiting;
  const isFatal =
    agent?.reason !== undefined &&
    /^(?:ErrImage|ImagePull|InvalidImage|CreateContainer|RunContainer)/.test(agent.reason);
  if (isFatal) {
    return runtimeFailed(
      `the agent of the job's pod can't start (${agent.reason}): ${agent.message ?? ""}`,
      undefined,
      "Check the image of the agent and the cluster's pull secrets.",
    );
  }
  return null;
}

/** Drains, preemption and lost nodes delete pods, and say so in a condition. */
function deleted(pod: V1Pod | null): Error {
  const isDisruption = (each: V1PodCondition) => each.type === "DisruptionTarget" && each.status === "True";
  const disruption = pod?.status?.conditions?.find(isDisruption);
  if (!disruption) return runtimeFailed("the job's pod was deleted");
  const { reason = "", message = "" } = disruption;
  return runtimeFailed(`the cluster evicted the job's pod (${reason}): ${message}`);
}
