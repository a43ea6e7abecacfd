/** What happens between the fork and the OCI runtime, in this order. */
export interface LaunchPlan {
  /** Mount points to take away from the OCI runtime's sight. */
  readonly unmount: readonly string[];
  /** `null` where the root file system is there already. */
  readonly overlay: { readonly options: string; readonly target: string } | null;
  /** The OCI runtime and all that it starts belong to these cgroups. */
  readonly joinFiles: readonly string[];
  /** The OCI runtime's command line. */
  readonly command: readonly string[];
}

/**
 * Mounts are made in a mount namespace that dies with the step: whatever ends this process, and however, no mount is left.
 * `slave`, so that what the host unmounts meanwhile goes away here too.
 *
 * The step's stderr is file descriptor 3: that of the launcher itself is kept apart. Writing 0 to cgroup.procs means the writer.
 */
const script = `
set -eu
while [ "$1" != -- ]; do umount "$1"; shift; done; shift
if [ "$1" = overlay ]; then mount -n -t overlay -o "$2" overlay "$3"; shift 3; fi
shift
while [ "$1" != -- ]; do echo 0 > "$1"; shift; done; shift
exec "$@" 2>&3 3>&-
`;

/** The command line that carries a plan out. All values are arguments: none becomes part of a script. */
export function launchCommand(plan: LaunchPlan): { readonly file: string; readonly args: readonly string[] } {
  const overlay = plan.overlay ? ["overlay", plan.overlay.options, plan.overlay.target] : [];
  const steps = [...plan.unmount, "--", ...overlay, "--", ...plan.joinFiles, "--", ...plan.command];
  const shell = ["/bin/sh", "-c", script, "airlock-launcher", ...steps];
  if (plan.unmount.length === 0 && plan.overlay === null) return { file: "/bin/sh", args: shell.slice(1) };
  return { file: "unshare", args: ["--mount", "--propagation", "slave", "--", ...shell] };
}
