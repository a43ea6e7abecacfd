import { buildCluster } from "./build-cluster.ts";

// `.ci/run` builds the program while checks and other suites run.
const stop = new AbortController();
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => stop.abort(new Error(`got ${signal}`)));
await buildCluster({ signal: stop.signal });
