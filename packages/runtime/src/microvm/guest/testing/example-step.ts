import { hiddenPaths } from "../../../isolation/hidden-paths.ts";
import type { GuestStep } from "../step-spec.ts";

/** A step that needs no cgroup. */
export const exampleStep: GuestStep = {
  image: 0,
  argv: ["/bin/sh", "-c", "echo hello; nc 127.0.0.1 4470 </dev/null & sleep 0.01"],
  env: { PATH: "/bin" },
  workingDirectory: "/data",
  uid: 0,
  gid: 0,
  groups: [1, 2],
  hostname: "sandbox",
  capabilities: [],
  noNewPrivileges: true,
  ownNetwork: true,
  readOnlyRoot: true,
  userNamespace: true,
  readOnlySys: true,
  maskedPaths: hiddenPaths.maskedPaths,
  readOnlyPaths: hiddenPaths.readonlyPaths,
  etc: { hosts: "127.0.0.1\tlocalhost\n", hostname: "sandbox\n", "resolv.conf": "" },
  directories: [{ path: Buffer.from("var"), mode: 0o755, uid: 0, gid: 0 }],
  ports: [4470],
  seccompFilter: null,
  limits: [{ resource: 7, soft: 64n, hard: 64n }],
  memoryBytes: 0,
  pids: 0,
  cpuMicros: 0,
  shmBytes: 4096,
  upperBytes: 1_048_576,
  docker: false,
};
