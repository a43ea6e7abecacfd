/**
 * What happens between the fork and the OCI runtime, in this order. Everything but `command` runs before the step is
 * known.
 */
export interface LaunchPlan {
  /** Network namespace to enter; `null`: the OCI runtime handles the network. */
  readonly networkNamespace: string | null;
  /**
   * Whether every user of that network may ping and bind ports below 1024, as with Docker. The container's root has no
   * privileges in it.
   */
  readonly opensNetwork: boolean;
  /** File with the mounts, as {@link mountTable} writes it; `null`: no mounts. */
  readonly mountTable: string | null;
  /** The `cgroup.procs` files of the cgroups for the OCI runtime and its children. */
  readonly joinFiles: readonly string[];
  /** The OCI runtime's command line. It runs when a line arrives on stdin. */
  readonly command: readonly string[];
}

/** One mount. Relative paths in its options are resolved against the launcher's current directory. */
export interface LaunchMount {
  readonly source: string;
  readonly target: string;
  readonly type: string;
  readonly options: string;
}

/**
 * Mounts are created in a mount namespace that ends with the step, so that none is left however this process ends.
 * Propagation is `slave`, so that unmounts on the host take effect here, too. A single mount(8) creates all mounts,
 * since each process costs a step a millisecond.
 *
 * File descriptor 3 is the step's stderr, which keeps the launcher's own stderr separate. Writing 0 to `cgroup.procs`
 * moves the writer. At the end the launcher waits for its step on stdin. If stdin ends instead, the executor is gone,
 * and the launcher exits.
 */
const script = `
set -eu
net=/proc/sys/net/ipv4
if [ "$1" = open ]; then echo 0 > $net/ip_unprivileged_port_start; echo 0 2147483647 > $net/ping_group_range; fi; shift
if [ "$1" != -- ]; then mount -n -a -T "$1"; shift; fi; shift
while [ "$1" != -- ]; do echo 0 > "$1"; shift; done; shift
read -r go
exec "$@" </dev/null 2>&3 3>&-
`;

/** Returns the command line that executes a plan. All values are arguments, so none becomes part of a script. */
export function launchCommand(plan: LaunchPlan): { readonly file: string; readonly args: readonly string[] } {
  const steps = [
    plan.opensNetwork ? "open" : "as-is",
    ...(plan.mountTable === null ? [] : [plan.mountTable]),
    "--",
    ...plan.joinFiles,
    "--",
    ...plan.command,
  ];
  const shell = ["/bin/sh", "-c", script, "airlock-launcher", ...steps];
  const unshared = plan.mountTable === null ? shell : ["unshare", "--mount", "--propagation", "slave", "--", ...shell];
  const entered =
    plan.networkNamespace === null ? unshared : ["nsenter", `--net=${plan.networkNamespace}`, "--", ...unshared];
  const [file = "", ...args] = entered;
  return { file, args };
}

/** Hides a mount from the OCI runtime. */
export function hidden(mountPoint: string): LaunchMount {
  return { source: "tmpfs", target: mountPoint, type: "tmpfs", options: "ro,size=4k,nr_inodes=1" };
}

/** Formats mounts for fstab(5). Missing targets are created. */
export function mountTable(mounts: readonly LaunchMount[]): string {
  return mounts
    .map(({ source, target, type, options }) => {
      const fields = [source, target, type, `${options},X-mount.mkdir`].map(escaped);
      return `${fields.join(" ")} 0 0\n`;
    })
    .join("");
}

function escaped(field: string): string {
  return field.replace(/[\s\\#]/g, (found) => `\\${found.charCodeAt(0).toString(8).padStart(3, "0")}`);
}
