import type { GuestStep } from "../step-spec.ts";

/** A step that needs no cgroup. */
export const exampleStep: GuestStep = {
  image: 0,
  argv: ["/bin/sh", "-c", "echo hello; sleep 0.01"],
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
  maskedPaths: true,
  seccompFilter: null,
  limits: [{ resource: 7, soft: 64n, hard: 64n }],
  memoryBytes: 0,
  pids: 0,
  cpuMicros: 0,
  shmBytes: 4096,
  upperBytes: 1_048_576,
};
