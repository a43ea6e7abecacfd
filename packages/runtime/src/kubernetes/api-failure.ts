import { type AirlockError, errorMessage } from "@airlock/job";
import { imageInvalid, runtimeFailed } from "../contract/errors.ts";

/** HTTP status of an error of the API client, or of a WebSocket that the API server refused. */
export function statusOf(error: unknown): number | undefined {
  if (typeof error !== "object" || error === null) return undefined;
  if ("code" in error && typeof error.code === "number") return error.code;
  const text = "message" in error && typeof error.message === "string" ? error.message : "";
  const [, status] = /^Unexpected server response: (\d{3})$/.exec(text) ?? [];
  return status === undefined ? undefined : Number(status);
}

/** What the API server says about a refused request, without the client's headers. */
export function apiMessage(error: unknown): string {
  const body = error instanceof Error && "body" in error ? error.body : undefined;
  const parsed = typeof body === "string" ? parse(body) : body;
  const message = parsed && typeof parsed === "object" && "message" in parsed ? parsed.message : undefined;
  if (typeof message === "string") return message;
  // The client puts the headers of an answer without a body into its message.
  const text = errorMessage(error);
  return statusOf(error) === undefined ? text : (/^Message: (.*)$/m.exec(text)?.[1] ?? text);
}

/** Why the API server refused a job's pod, and what the administrator can do. */
export function podRefused(error: unknown): AirlockError {
  return refused("the job's pod", error);
}

/** Why the API server refused the Secret with a job's registry credentials. */
export function secretRefused(error: unknown): AirlockError {
  return refused("the Secret with the job's registry credentials", error);
}

/** Why the API server refused the NetworkPolicy of a job's pod. */
export function policyRefused(error: unknown): AirlockError {
  return refused("the NetworkPolicy of the job's pod", error);
}

/** The API server does not let the executor reach the agent of a pod. */
export function connectionRefused(): AirlockError {
  return runtimeFailed(
    "the executor may not open a connection to the job's pod: it lacks the rights for pods/exec",
    undefined,
    "Run `executor validate`, which names the missing rules.",
  );
}

/** Why the API server refused a step's container. Only a malformed name of an image is the job's fault. */
export function containerRefused(image: string, error: unknown): AirlockError {
  const status = statusOf(error);
  const isMalformed = status === 400 || status === 422;
  return isMalformed
    ? imageInvalid(image, "is not accepted by the API server", apiMessage(error))
    : refused("the container of a step", error);
}

function refused(what: string, error: unknown): AirlockError {
  if (statusOf(error) === undefined) return runtimeFailed(`cannot create ${what}`, error);
  const message = apiMessage(error);
  // The client's error has the headers of the answer, so it is not the cause.
  return runtimeFailed(`Kubernetes refused ${what}: ${message}`, undefined, hintFor(message));
}

function hintFor(message: string): string {
  if (/exceeded quota/.test(message)) return "Raise the namespace's ResourceQuota, or run fewer jobs at once.";
  if (/violates PodSecurity/.test(message))
    return "Set EXECUTOR_KUBERNETES_POD_SECURITY to the namespace's level, or relax the namespace's level.";
  if (/RuntimeClass/.test(message)) return "Set EXECUTOR_KUBERNETES_RUNTIME_CLASS to a class of the cluster.";
  if (/PriorityClass/.test(message)) return "Set EXECUTOR_KUBERNETES_PRIORITY_CLASS to a class of the cluster.";
  if (/service account/.test(message)) return "Set EXECUTOR_KUBERNETES_SERVICE_ACCOUNT to one of the namespace.";
  if (/namespaces ".*" not found/.test(message))
    return "Create the namespace, or change EXECUTOR_KUBERNETES_NAMESPACE.";
  if (/cannot create resource/.test(message)) return "Run `executor validate`, which names the missing rules.";
  return "Run `executor validate`, which shows what the cluster does not accept.";
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
