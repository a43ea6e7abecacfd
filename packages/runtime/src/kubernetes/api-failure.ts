import { type AirlockError, errorMessage } from "@airlock/job";
import { runtimeFailed } from "../contract/errors.ts";

/** HTTP status of an error of the API client. */
export function statusOf(error: unknown): number | undefined {
  return error instanceof Error && "code" in error && typeof error.code === "number" ? error.code : undefined;
}

/** What the API server says about a refused request, without the client's headers. */
export function apiMessage(error: unknown): string {
  const body = error instanceof Error && "body" in error ? error.body : undefined;
  const parsed = typeof body === "string" ? parse(body) : body;
  const message = parsed && typeof parsed === "object" && "message" in parsed ? parsed.message : undefined;
  return typeof message === "string" ? message : errorMessage(error);
}

/** Why the API server refused a job's pod, and what the administrator can do. */
export function podRefused(error: unknown): AirlockError {
  const message = apiMessage(error);
  return runtimeFailed(`Kubernetes refused the job's pod: ${message}`, error, hintFor(message));
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
