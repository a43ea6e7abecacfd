import { type KubeConfig, VersionApi } from "@kubernetes/client-node";
import { runtimeFailed } from "../contract/errors.ts";
import { apiMessage, statusOf } from "./api-failure.ts";

/**
 * The version of the API server.
 * @throws {AirlockError} reason `runtime` that names the server, and tells unreachable ones from refused credentials.
 */
export async function clusterVersion(config: KubeConfig): Promise<string> {
  try {
    const { gitVersion } = await config.makeApiClient(VersionApi).getCode();
    return gitVersion;
  } catch (error) {
    const server = config.getCurrentCluster()?.server;
    const status = statusOf(error);
    const isRefused = status === 401 || status === 403;
    const problem = isRefused ? "refuses the credentials" : "can't be reached";
    const why = status === undefined ? "" : `: ${apiMessage(error)}`;
    throw runtimeFailed(
      `the API server ${server} ${problem}${why}`,
      status === undefined ? error : undefined,
      "Check the kubeconfig that EXECUTOR_KUBERNETES_CONFIG_PATH names, or the service account of this pod.",
    );
  }
}
