import { chmod, chown, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { FileOwner } from "../contract/index.ts";

/** Host name in every container. */
export const containerHostname = "airlock";

export interface OwnFilesOptions {
  /** Directory in which the sandbox's disk use is counted. Created here. */
  readonly dir: string;
  readonly nameServers: readonly string[];
  /** The container's root user, in ids of the host. `null`: the user of this process. */
  readonly owner: FileOwner | null;
  /** Whether the engine writes `/etc/hosts`, because only it knows an address that the file must have. */
  readonly engineWritesHosts: boolean;
}

/**
 * Creates the files of `/etc` that every container of a sandbox has for its network. The engine would create its own
 * ones beside its data, on a disk where nothing limits what a step writes to them.
 * @returns the files by their path in a container.
 */
export async function makeOwnFiles(options: OwnFilesOptions): Promise<ReadonlyMap<string, string>> {
  const { dir, nameServers, owner, engineWritesHosts } = options;
  const hosts = `127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n127.0.1.1\t${containerHostname}\n`;
  const servers = nameServers.map((address) => `nameserver ${address}\n`).join("");
  const texts = {
    ...(engineWritesHosts ? {} : { hosts }),
    hostname: `${containerHostname}\n`,
    "resolv.conf": servers === "" ? "" : `${servers}options timeout:5 attempts:2\n`,
  };
  await mkdir(dir, { mode: 0o755 });
  const files = new Map<string, string>();
  for (const [name, text] of Object.entries(texts)) {
    const file = join(dir, name);
    await writeFile(file, text, { flag: "wx" });
    // Whatever the umask is.
    await chmod(file, 0o644);
    if (owner) await chown(file, owner.uid, owner.gid);
    files.set(`/etc/${name}`, file);
  }
  return files;
}
