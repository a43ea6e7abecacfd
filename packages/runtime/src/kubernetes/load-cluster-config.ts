import { readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { AirlockError, errorMessage } from "@airlock/job";
import type { KubeConfig } from "@kubernetes/client-node";
import { PacedKubeConfig } from "./paced-kube-config.ts";

const accountDirectory = "/var/run/secrets/kubernetes.io/serviceaccount";

/**
 * How to reach the API server: by this kubeconfig, else by that of the user, else as the service account of this pod.
 * @throws {AirlockError} code `invalid-configuration` that names the file and the variable.
 */
export async function loadClusterConfig(given: string | undefined): Promise<KubeConfig> {
  const config = new PacedKubeConfig();
  const path = given ?? join(homedir(), ".kube", "config");
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    const isMissing = error instanceof Error && "code" in error && error.code === "ENOENT";
    if (given === undefined && isMissing) return await inCluster(config);
    throw unusable(`cannot read the kubeconfig ${path}: ${errorMessage(error)}`, error);
  }
  try {
    config.loadFromString(text);
  } catch (error) {
    throw unusable(`the kubeconfig ${path} is invalid: ${errorMessage(error)}`, error);
  }
  config.makePathsAbsolute(join(path, ".."));
  if (!config.getCurrentCluster()?.server) {
    const context = config.getCurrentContext();
    throw unusable(`the kubeconfig ${path} names no cluster by its current context "${context}"`);
  }
  return config;
}

async function inCluster(config: KubeConfig): Promise<KubeConfig> {
  const where = "EXECUTOR_KUBERNETES_CONFIG_PATH names no kubeconfig, there is no ~/.kube/config";
  if (!process.env.KUBERNETES_SERVICE_HOST) throw unusable(`${where}, and this process is not in a pod`);
  try {
    await readFile(join(accountDirectory, "token"));
  } catch (error) {
    throw unusable(
      `${where}, and this pod has no token of a service account`,
      error,
      "Remove `automountServiceAccountToken: false` from the executor's pod and service account.",
    );
  }
  config.loadFromCluster();
  return config;
}

function unusable(what: string, cause?: unknown, hint?: string): AirlockError {
  return new AirlockError(what, {
    code: "invalid-configuration",
    hint: hint ?? "Set EXECUTOR_KUBERNETES_CONFIG_PATH to a kubeconfig with a current context.",
    cause,
  });
}
