import { readFile, writeFile } from "node:fs/promises";
import { cpioArchive } from "../guest/build/cpio-archive.ts";

/**
 * Writes an initrd like another one, but with a shell script in place of the agent. The kernel unpacks archives that
 * follow each other, and the last one wins.
 */
export async function hostileInitrd(initrd: string, path: string, script: string): Promise<string> {
  const over = cpioArchive([
    { path: "busybox", mode: 0o755, content: await readFile("/bin/busybox") },
    { path: "init", mode: 0o755, content: Buffer.from(`#!/busybox sh\n${script}\n`) },
  ]);
  await writeFile(path, Buffer.concat([await readFile(initrd), over]), { mode: 0o644 });
  return path;
}

/** Loads the modules and waits for the port to the host, as the agent does. */
export const openPort = `
/busybox mkdir -p /dev /proc
/busybox mount -t devtmpfs none /dev
for module in $(/busybox cat /modules/list); do /busybox insmod /modules/$module; done
while ! test -e /dev/vport0p1; do /busybox usleep 1000; done
`;

/**
 * Writes an initrd with the real agent, beside which root of the guest waits for a process with one of these words
 * among its arguments:
 * - `sabotage-panic`: the kernel panics.
 * - `sabotage-hang`: the agent is frozen. The rest of the guest goes on.
 * - `sabotage-flood`: prints to the console without end.
 */
export async function sabotagedInitrd(initrd: string, path: string): Promise<string> {
  const original = await readFile(initrd);
  const over = cpioArchive([
    { path: "agent", mode: 0o755, content: fileInArchive(original, "init") },
    { path: "busybox", mode: 0o755, content: await readFile("/bin/busybox") },
    { path: "init", mode: 0o755, content: Buffer.from(sabotage) },
  ]);
  await writeFile(path, Buffer.concat([original, over]), { mode: 0o644 });
  return path;
}

const sabotage = `#!/busybox sh
/busybox mkdir -p /proc /groups
/busybox mount -t proc none /proc
/busybox mount -t devtmpfs none /dev
watch() {
  while /busybox usleep 200000; do
    case $(/busybox grep -aoh 'sabotag[e]-[a-z]*' /proc/[0-9]*/cmdline 2>/dev/null) in
      *sabotage-panic*) echo c >/proc/sysrq-trigger ;;
      *sabotage-hang*)
        /busybox mount -t cgroup2 none /groups; /busybox mkdir /groups/frozen
        echo 1 >/groups/frozen/cgroup.procs; echo 1 >/groups/frozen/cgroup.freeze; return ;;
      *sabotage-flood*) /busybox yes flood >/dev/console; return ;;
    esac
  done
}
watch &
exec /agent "$@"
`;

/** The content of a file in an archive of the format that {@link cpioArchive} writes. */
function fileInArchive(archive: Buffer, path: string): Buffer {
  const aligned = (position: number) => (position + 3) & ~3;
  for (let at = 0; archive.toString("latin1", at, at + 6) === "070701"; ) {
    const field = (index: number) =>
      Number.parseInt(archive.toString("latin1", at + 6 + index * 8, at + 14 + index * 8), 16);
    const [size, nameLength] = [field(6), field(11)];
    const content = aligned(at + 110 + nameLength);
    if (archive.toString("latin1", at + 110, at + 109 + nameLength) === path) {
      return archive.subarray(content, content + size);
    }
    at = aligned(content + size);
  }
  throw new Error(`the archive has no ${path}`);
}
