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
