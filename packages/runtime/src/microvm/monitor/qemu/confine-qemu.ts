import { dirname } from "node:path";
import type { QemuFiles } from "./qemu-files.ts";

/** A file or directory of the host, and where QEMU sees it. */
export interface ShownFile {
  readonly source: string;
  readonly path: string;
  readonly kind: "file" | "directory" | "device";
}

export interface Confinement {
  /** The user and group id of this machine alone. `null`: the executor's own user, which is not root. */
  readonly id: number | null;
  /** A further group of the process. `null`: none. */
  readonly group: number | null;
  /** Files to join the machine's cgroup. */
  readonly joinFiles: readonly string[];
  /** What QEMU needs of the host. */
  readonly files: QemuFiles;
  /** An empty directory, on which QEMU's root is mounted. Only QEMU's mount namespace has this mount. */
  readonly root: string;
  /** What QEMU sees of its machine, beside the descriptors that it inherits. */
  readonly shown: readonly ShownFile[];
  /** Size of the largest file that QEMU may write. */
  readonly maxFileBytes: number;
}

/** Joins the cgroup and becomes the rest of its arguments. A crash must not write a guest's secrets to the host's disk. */
const joinScript = `
ulimit -c 0
count=$1; shift
while [ "$count" -gt 0 ]; do echo 0 >"$1" || exit 125; shift; count=$((count - 1)); done
exec "$@"
`;

/**
 * Makes a process that is the first of the process namespace, changes the root to a file system that has nothing of the
 * host but what is listed, and becomes the rest of the arguments. umount needs a /proc, which goes with the host's root.
 * The shell waits outside, and ends as QEMU has ended.
 */
const rootScript = `
set -f
IFS='
'
root=$1 directories=$2 files=$3 mounts=$4 libraries=$5 maxBlocks=$6 maxFiles=$7; shift 7
(
  set -e
  mount -t tmpfs -o nosuid,nodev,noexec,mode=755,size=1m machine "$root"
  cd "$root"
  mkdir -p -- $directories
  for file in $files; do : >"$file"; done
  printf '%s\\n' "$mounts" >old/mounts
  mount --all --fstab old/mounts
  : >old/mounts
  mount -o remount,ro "$root"
  echo machine >proc/sys/kernel/hostname
  pivot_root . old
  cd /
  export LD_LIBRARY_PATH="$libraries"
  umount --lazy /old /proc
  ulimit -f "$maxBlocks"
  ulimit -n "$maxFiles"
  exec "$@"
)
status=$?
[ "$status" -gt 128 ] && kill -"$((status - 128))" $$
exit "$status"
`;

/** QEMU has about five descriptors for each disk, and some dozens for itself. */
const maxOpenFiles = 512;
/** The unit of the shell's limit for the size of files. */
const blockBytes = 512;

/**
 * The command that runs QEMU as the only process of its own mount, process, network, IPC and UTS namespaces, without
 * privileges. Without root they belong to a user namespace. It ends with the process that starts it.
 */
export function confinedCommand(qemu: readonly string[], confinement: Confinement): readonly string[] {
  const { id, group, joinFiles, files } = confinement;
  const join = ["/bin/sh", "-c", joinScript, "sh", String(joinFiles.length), ...joinFiles];
  const user = id === null ? ["--user", "--map-root-user"] : [];
  const namespaces = [...user, "--mount", "--pid", "--net", "--ipc", "--uts"];
  const isolate = ["setpriv", "--pdeathsig", "KILL", "--", "unshare", ...namespaces, "--"];
  const enter = ["/bin/sh", "-c", rootScript, "sh", ...rootArguments(confinement)];
  const groups = group === null ? ["--clear-groups"] : ["--groups", String(group)];
  const owner = id === null ? [] : ["--reuid", String(id), "--regid", String(id), ...groups];
  const capabilities = ["--inh-caps=-all", "--ambient-caps=-all", "--bounding-set=-all"];
  const unprivileged = [files.setpriv, "--no-new-privs", "--pdeathsig", "KILL", ...owner, ...capabilities];
  return [...join, ...isolate, ...enter, ...unprivileged, "--", ...qemu];
}

function rootArguments({ files, root, shown, maxFileBytes }: Confinement): readonly string[] {
  const same = (kind: ShownFile["kind"]) => (path: string) => ({ source: path, path, kind });
  const all = [...files.directories.map(same("directory")), ...files.files.map(same("file")), ...shown];
  const isDirectory = ({ kind }: ShownFile) => kind === "directory";
  const directories = all.map((file) => (isDirectory(file) ? file.path : dirname(file.path)));
  const mounts = all.map(({ source, path, kind }) => {
    const options = kind === "device" ? "bind" : "bind,ro,nosuid,nodev";
    return `${fstabWord(source)} ${fstabWord(root + path)} none ${options} 0 0`;
  });
  return [
    root,
    ["old", "proc", ...directories.map((path) => `.${path}`)].join("\n"),
    all
      .filter((file) => !isDirectory(file))
      .map(({ path }) => `.${path}`)
      .join("\n"),
    [...mounts, `proc ${fstabWord(`${root}/proc`)} proc nosuid,nodev,noexec 0 0`].join("\n"),
    files.libraries.join(":"),
    String(Math.ceil(maxFileBytes / blockBytes)),
    String(maxOpenFiles),
  ];
}

/** Escapes what separates the words of a line in fstab. */
function fstabWord(path: string): string {
  return path.replace(/[\s\\#]/g, (character) => `\\${character.charCodeAt(0).toString(8).padStart(3, "0")}`);
}
