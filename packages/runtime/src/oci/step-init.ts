import type { BundlePlan } from "./bundle-config.ts";

/**
 * The first process of the step. Kernel and programs treat process 1 unlike any other, so the script is its child. A
 * waiting shell also reaps every orphan that becomes its child, so no daemon leaves zombies.
 *
 * When the first process ends, the kernel ends all others, which may still have output to pass on. So if the script
 * leaves processes behind, the first process sends the script's exit code over the channel. It stays until the executor
 * closes its end. To each line that it reads, it answers with the number of processes. The channel is a socket, which
 * no other process of the step has or can open.
 *
 * A working directory that the OCI runtime created would belong to root, so other users create their own.
 */
export function initCommand({
  user,
  hasOwnKernel,
  script,
  workingDirectory,
  channelDescriptor,
}: Pick<BundlePlan, "user" | "hasOwnKernel" | "script" | "workingDirectory" | "channelDescriptor">): readonly string[] {
  // Only Linux protects process 1 from signals that it has no handler for.
  const staying = hasOwnKernel ? "trap : TERM; " : "";
  const going = user.uid === 0 ? "" : '[ -d "$1" ] || mkdir -p "$1"; cd "$1" || exit 126; ';
  return ["/bin/sh", "-c", `${staying}${going}${running(channelDescriptor)}`, script, workingDirectory];
}

/** `(:)` makes the shell reap processes that have ended meanwhile. */
const running = (channel: number) => `/bin/sh "$0" </dev/null ${channel === 0 ? "" : `${channel}<&-`}; code=$?
set -- /proc/[0-9]*; [ $# -gt 1 ] || exit $code
trap '' TERM; echo $code >&${channel}
while read -r _ <&${channel}; do (:); set -- /proc/[0-9]*; echo $# >&${channel}; done
exit $code`;
