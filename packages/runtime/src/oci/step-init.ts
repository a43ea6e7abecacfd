import type { BundlePlan } from "./bundle-config.ts";

/**
 * The first process of the step. Kernel and programs treat process 1 unlike any other, so the script is its child. A shell that
 * waits reaps whatever else becomes its child: no daemon leaves zombies.
 *
 * The end of the first process is the end of all. So where the script leaves others behind, the first process says what the
 * script ended with and stays until the executor's end of its channel is closed: others may still have output to pass on. To
 * each line that it reads it answers how many processes there are. The channel is a socket, which no other process of the step
 * has or can open.
 *
 * A working directory that the OCI runtime made would be root's, so other users make their own.
 */
export function initCommand({
  user,
  hasOwnKernel,
  script,
  workingDirectory,
  channelDescriptor,
}: Pick<BundlePlan, "user" | "hasOwnKernel" | "script" | "workingDirectory" | "channelDescriptor">): readonly string[] {
  // Outside of Linux, process 1 is not spared by signals that it has no handler for.
  const staying = hasOwnKernel ? "trap : TERM; " : "";
  const going = user.uid === 0 ? "" : '[ -d "$1" ] || mkdir -p "$1"; cd "$1" || exit 126; ';
  return ["/bin/sh", "-c", `${staying}${going}${running(channelDescriptor)}`, script, workingDirectory];
}

/** `(:)` has the shell reap what ended meanwhile. */
const running = (channel: number) => `/bin/sh "$0" </dev/null ${channel === 0 ? "" : `${channel}<&-`}; code=$?
set -- /proc/[0-9]*; [ $# -gt 1 ] || exit $code
trap '' TERM; echo $code >&${channel}
while read -r _ <&${channel}; do (:); set -- /proc/[0-9]*; echo $# >&${channel}; done
exit $code`;
