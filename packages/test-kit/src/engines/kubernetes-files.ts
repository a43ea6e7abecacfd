import { join } from "node:path";

/** Files by which suites and the engine `kubernetes` talk. */
export function kubernetesFiles(directory: string) {
  return {
    /** The name of a file in `directory`. A suite creates it to ask for the cluster. */
    wanted: "wanted",
    /** `ClusterAccess` as JSON. */
    ready: join(directory, "ready"),
    /** Tells why there is no cluster. */
    failure: join(directory, "failure"),
  };
}
