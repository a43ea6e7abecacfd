/** What happens between the fork and the OCI runtime, in this order; all but the last of it ahead of the step. */
export interface LaunchPlan {
  /** Network namespace that the step is in; `null`: the OCI runtime sees to it. */
  readonly networkNamespace: string | null;
  /** Whether everybody in that network may bind ports below 1024 and ping, as with Docker: the container's root does not rule it. */
  readonly opensNetwork: boolean;
  /** File with what is mounted, as {@link mountTable} writes it; `null`: nothing. */
  readonly mountTable: string | null;
  /** The OCI runtime and all that it starts belong to these cgroups. */
  readonly joinFiles: readonly string[];
  /** The OCI runtime's command line, run when a line comes on stdin. */
  readonly command: readonly string[];
}

/** One mount; a relative path in its options is looked up from the launcher's current directory. */
export interface LaunchMount {
  readonly source: string;
  readonly target: string;
  readonly type: string;
  readonly options: string;
}

/**
 * Mounts are made in a mount namespace that dies with the step: whatever ends this process, and however, no mount is left.
 * `slave`, so that what the host unmounts meanwhile goes away here too. One mount(8) makes them all, since each process
 * costs a step a millisecond.
 *
 * The step's stderr is file descriptor 3: that of the launcher itself is kept apart. Writing 0 to cgroup.procs means the writer.
 * It waits for its step at the end: when stdin ends instead, since whoever started it is gone, so is it.
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

/** The command line that carries a plan out. All values are arguments: none becomes part of a script. */
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

/** Takes away from the OCI runtime's sight what is mounted there. */
export function hidden(mountPoint: string): LaunchMount {
  return { source: "tmpfs", target: mountPoint, type: "tmpfs", options: "ro,size=4k,nr_inodes=1" };
}

/** fstab(5); targets that do not exist are made. */
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
