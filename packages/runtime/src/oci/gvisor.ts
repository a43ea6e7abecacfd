/** How runsc is run. https://gvisor.dev/docs/user_guide/platforms/ */
export interface GvisorOptions {
  /** How gVisor catches system calls, e.g. `systrap`, `ptrace` or `kvm`. Default: runsc's own. */
  readonly platform?: string;
  /**
   * Network of steps that may reach something: `host` lets gVisor use the sockets of the sandbox's network namespace,
   * `sandbox` its own network stack, which keeps the host's from the steps but does not work with every kernel. Default: `host`.
   */
  readonly network?: "host" | "sandbox";
}

/** Threads of gVisor's own kernel and of its file server, with room for busy ones. They count in the limit of processes. */
export const gvisorProcesses = 256;

/** What goes between `runsc` and its command. */
export function gvisorFlags(
  { platform, network = "host" }: GvisorOptions,
  { hasNetwork }: { readonly hasNetwork: boolean },
): readonly string[] {
  return [
    ...(platform === undefined ? [] : [`--platform=${platform}`]),
    `--network=${hasNetwork ? network : "none"}`,
    // The launcher has joined ours.
    "--ignore-cgroups",
  ];
}
