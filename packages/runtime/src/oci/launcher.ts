/** What happens between the fork and the OCI runtime, in this order. */
export interface LaunchPlan {
  /** Network namespace that the step is in; `null`: the OCI runtime sees to it. */
  readonly networkNamespace: string | null;
  /** Mount points to take away from the OCI runtime's sight. */
  readonly unmount: readonly string[];
  /** Where a small file system is mounted for the targets below, which are made in it; `null`: they exist. */
  readonly stage: { readonly directory: string; readonly targets: readonly string[] } | null;
  /** `null` where the root file system is there already. */
  readonly overlay: { readonly options: string; readonly target: string } | null;
  readonly binds: readonly { readonly source: string; readonly target: string; readonly options: string }[];
  /** Where a sysfs of the network namespace is mounted; `null`: the OCI runtime mounts one. */
  readonly sysfs: string | null;
  /** The OCI runtime and all that it starts belong to these cgroups. */
  readonly joinFiles: readonly string[];
  /** The OCI runtime's command line. */
  readonly command: readonly string[];
}

/**
 * Mounts are made in a mount namespace that dies with the step: whatever ends this process, and however, no mount is left.
 * `slave`, so that what the host unmounts meanwhile goes away here too.
 *
 * In a network namespace that the container's root does not rule, nobody of it may bind ports below 1024 unless all may.
 *
 * The step's stderr is file descriptor 3: that of the launcher itself is kept apart. Writing 0 to cgroup.procs means the writer.
 */
const script = `
set -eu
while [ "$1" != -- ]; do umount "$1"; shift; done; shift
if [ "$1" = stage ]; then mount -n -t tmpfs -o mode=0711,size=256k,nr_inodes=64 tmpfs "$2"; shift 2; fi
if [ "$1" != -- ]; then
  targets=; while [ "$1" != -- ]; do targets="$targets $1"; shift; done
  mkdir $targets
fi; shift
if [ "$1" = overlay ]; then mount -n -t overlay -o "$2" overlay "$3"; shift 3; fi
shift
while [ "$1" != -- ]; do mount -n --bind -o "$3" -- "$1" "$2"; shift 3; done; shift
if [ "$1" = sysfs ]; then
  mount -n -t sysfs -o ro,nosuid,nodev,noexec sysfs "$2"
  echo 0 > /proc/sys/net/ipv4/ip_unprivileged_port_start
  shift 2
fi; shift
while [ "$1" != -- ]; do echo 0 > "$1"; shift; done; shift
exec "$@" 2>&3 3>&-
`;

/** The command line that carries a plan out. All values are arguments: none becomes part of a script. */
export function launchCommand(plan: LaunchPlan): { readonly file: string; readonly args: readonly string[] } {
  const steps = [
    ...plan.unmount,
    "--",
    // The targets' names are our own, without blanks.
    ...(plan.stage ? ["stage", plan.stage.directory, ...plan.stage.targets] : []),
    "--",
    ...(plan.overlay ? ["overlay", plan.overlay.options, plan.overlay.target] : []),
    "--",
    ...plan.binds.flatMap(({ source, target, options }) => [source, target, options]),
    "--",
    ...(plan.sysfs === null ? [] : ["sysfs", plan.sysfs]),
    "--",
    ...plan.joinFiles,
    "--",
    ...plan.command,
  ];
  const shell = ["/bin/sh", "-c", script, "airlock-launcher", ...steps];
  const needsMounts = plan.unmount.length > 0 || plan.stage !== null || plan.overlay !== null || plan.binds.length > 0;
  const unshared = needsMounts ? ["unshare", "--mount", "--propagation", "slave", "--", ...shell] : shell;
  const entered =
    plan.networkNamespace === null ? unshared : ["nsenter", `--net=${plan.networkNamespace}`, "--", ...unshared];
  const [file = "", ...args] = entered;
  return { file, args };
}
