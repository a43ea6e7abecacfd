import { launcherReady } from "./step-channel.ts";

/**
 * What happens between the fork and the OCI runtime, in this order. Everything but the last happens before the step
 * begins.
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
  /** The OCI runtime's command line, run when the executor says so. */
  readonly command: readonly string[];
  /** Named pipes that the step prints to. */
  readonly outputPaths: { readonly stdout: string; readonly stderr: string };
  /** Descriptor of the channel in the step's first process. If it is not 0, the standard input is empty. */
  readonly channelDescriptor: ChannelDescriptor;
  /** Whether this process is root. */
  readonly isRoot: boolean;
}

export type ChannelDescriptor = 0 | 3;

/** One mount. Relative paths in its options are relative to the launcher's current directory. */
export interface LaunchMount {
  readonly source: string;
  readonly target: string;
  readonly type: string;
  readonly options: string;
}

/**
 * Mounts are made in a mount namespace that ends with the step, so no mount is left however this process ends. The
 * propagation is `slave`, so that a mount that the host unmounts meanwhile disappears here, too. One mount(8) makes all
 * mounts, because each process costs a step a millisecond. Writing 0 to cgroup.procs means the writer.
 *
 * Descriptor 3 is the step's stderr, separate from the launcher's own. Descriptor 4 is the channel on which the
 * executor says when to begin. The step's first process inherits it. If the executor dies before, the channel is closed
 * and nothing begins.
 *
 * The shell waits for the OCI runtime instead of becoming it. If the kernel kills the OCI runtime because memory ran
 * out, unshare(1) would report exit code 1, which a script may also have. The shell reports 137.
 *
 * The shell writes the OCI runtime's exit code to descriptor 5, which no process of the step has. So the executor
 * learns of the end before the kernel has removed the namespaces, which takes milliseconds. For the same reason only
 * the shell opens the pipes of the output, and closes them first: otherwise the outer processes would hold them open
 * until they exit.
 */
const script = `
set -eu
channel=$1; stdout=$2; stderr=$3; shift 3
net=/proc/sys/net/ipv4
if [ "$1" = open ]; then echo 0 > $net/ip_unprivileged_port_start; echo 0 2147483647 > $net/ping_group_range; fi; shift
if [ "$1" != -- ]; then mount -n -a -T "$1"; shift; fi; shift
while [ "$1" != -- ]; do echo 0 > "$1"; shift; done; shift
exec >"$stdout" 3>"$stderr"
echo ${launcherReady} >&4
read -r go <&4
code=0
if [ "$channel" = 0 ]; then "$@" <&4 2>&3 3>&- 4>&- 5>&- || code=$?
else "$@" </dev/null 2>&3 3<&4 4>&- 5>&- || code=$?
fi
exec >&- 3>&-
echo $code >&5
exit $code
`;

/**
 * The command line that carries out a plan. All values are arguments, so no value becomes part of a script.
 *
 * The step ends with the executor, whatever kills the executor: the kernel kills the outer process with its parent, and
 * the inner one with the outer one. The inner one is the first process of a process namespace, so the kernel ends every
 * process of the step with it.
 */
export function launchCommand(plan: LaunchPlan): { readonly file: string; readonly args: readonly string[] } {
  const steps = [
    String(plan.channelDescriptor),
    plan.outputPaths.stdout,
    plan.outputPaths.stderr,
    plan.opensNetwork ? "open" : "as-is",
    ...(plan.mountTable === null ? [] : [plan.mountTable]),
    "--",
    ...plan.joinFiles,
    "--",
    ...plan.command,
  ];
  // Without root, the other namespaces can be created only in a user namespace. The launcher keeps its user there.
  const user = plan.isRoot ? [] : ["--user", "--map-current-user"];
  const namespaces = [...user, "--mount", "--propagation", "slave", "--pid", "--fork", "--kill-child", "--mount-proc"];
  const command = [
    ...["setpriv", "--pdeathsig", "KILL", "--"],
    ...(plan.networkNamespace === null ? [] : ["nsenter", `--net=${plan.networkNamespace}`, "--"]),
    ...["unshare", ...namespaces, "--"],
    ...["/bin/sh", "-c", script, "airlock-launcher", ...steps],
  ];
  const [file = "", ...args] = command;
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
