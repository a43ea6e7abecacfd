/** Settings for runsc. https://gvisor.dev/docs/user_guide/platforms/ */
export interface GvisorOptions {
  /** How gVisor intercepts system calls, such as `systrap`, `ptrace` or `kvm`. Default: runsc's own. */
  readonly platform?: string;
  /**
   * Network of steps whose policy is not `none`. With `host`, gVisor uses the sockets of the sandbox's network
   * namespace. With `sandbox`, it uses its own network stack. That stack hides the host's from the steps, but does not
   * work with every kernel. Default: `host`.
   */
  readonly network?: "host" | "sandbox";
}

/**
 * Threads of gVisor's kernel and of its file server, with a margin for busy ones. They count toward the process limit.
 */
export const gvisorProcesses = 256;

/** Options between `runsc` and its subcommand. */
export function gvisorFlags(
  { platform, network = "host" }: GvisorOptions,
  { hasNetwork }: { readonly hasNetwork: boolean },
): readonly string[] {
  return [
    ...(platform === undefined ? [] : [`--platform=${platform}`]),
    `--network=${hasNetwork ? network : "none"}`,
    // The launcher has already joined the sandbox's cgroups.
    "--ignore-cgroups",
  ];
}
