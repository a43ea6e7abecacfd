/** Variables that count only for virtual machines. */
const onlyMachines = [
  "EXECUTOR_VM_MONITOR",
  "EXECUTOR_VM_ACCELERATOR",
  "EXECUTOR_FIRECRACKER",
  "EXECUTOR_JAILER",
  "EXECUTOR_QEMU",
  "EXECUTOR_VM_PREFIX",
  "EXECUTOR_VM_STARTUP_SCRIPT_PATH",
  "EXECUTOR_FIRECRACKER_BANDWIDTH_INGRESS",
  "EXECUTOR_FIRECRACKER_BANDWIDTH_EGRESS",
] as const;

/** Variables that count only for containers. */
const onlyContainers = [
  "EXECUTOR_DOCKER_RUNTIME",
  "EXECUTOR_OCI_RUNTIME",
  "EXECUTOR_RUNSC_PLATFORM",
  "EXECUTOR_RUNSC_NETWORK",
  "EXECUTOR_ALLOW_HOST_IMAGE",
  "EXECUTOR_DOCKER_ADD_HOST_GATEWAY",
  "EXECUTOR_SANDBOX_ID_COUNT",
  "EXECUTOR_UNENFORCED_LIMITS",
] as const;

/** Notes on variables that are set and that the chosen runtime does not use. */
export function notesOnRuntime(
  kind: "auto" | "docker" | "oci" | "microvm",
  given: Readonly<Record<string, string | undefined>>,
): string[] {
  const [names, why] =
    kind === "microvm"
      ? [onlyContainers, "has no effect in virtual machines"]
      : [onlyMachines, "has no effect without EXECUTOR_RUNTIME=microvm"];
  return names.filter((name) => given[name] !== undefined).map((name) => `${name} ${why}.`);
}
