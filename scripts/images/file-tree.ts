import { lstat, readdir, readFile, readlink } from "node:fs/promises";
import path from "node:path";
import { buffer } from "node:stream/consumers";
import { finished } from "node:stream/promises";
import { type Header, pack } from "tar-stream";

/** Owner of what an image's program may write. Numeric, so that Kubernetes can tell that it is not root. */
export const imageUser = 65532;

interface Entry extends Partial<Header> {
  readonly name: string;
  readonly content?: Buffer;
}

/** The files of one layer. Paths are absolute in the image. Everything belongs to root unless stated otherwise. */
export class FileTree {
  readonly #entries = new Map<string, Entry>();

  directory(name: string, { mode = 0o755, user = 0 }: { readonly mode?: number; readonly user?: number } = {}): void {
    this.#parents(name);
    this.#add(name, { name: `${name.slice(1)}/`, type: "directory", mode, uid: user, gid: user });
  }

  file(name: string, content: Buffer | string, mode = 0o644): void {
    this.#parents(name);
    this.#add(name, { name: name.slice(1), type: "file", mode, content: Buffer.from(content) });
  }

  link(name: string, target: string): void {
    this.#parents(name);
    this.#add(name, { name: name.slice(1), type: "symlink", linkname: target });
  }

  /** Copies a file or link of this machine. */
  async copy(source: string, name = source): Promise<void> {
    const found = await lstat(source);
    if (found.isSymbolicLink()) this.link(name, await readlink(source));
    // Only the bit for running counts: the others depend on the umask of the build.
    else this.file(name, await readFile(source), found.mode & 0o100 ? 0o755 : 0o644);
  }

  /** Copies a directory of this machine. `isWanted` gets paths relative to it. */
  async copyTree(source: string, name: string, isWanted: (relative: string) => boolean = () => true): Promise<void> {
    for (const entry of await readdir(source, { recursive: true, withFileTypes: true })) {
      const full = path.join(entry.parentPath, entry.name);
      const relative = path.relative(source, full);
      if (!entry.isDirectory() && isWanted(relative)) await this.copy(full, path.join(name, relative));
    }
  }

  /** The tar archive. The same files make the same bytes, in whatever order they were added. */
  async archive(): Promise<Buffer> {
    const archive = pack();
    const bytes = buffer(archive);
    for (const name of [...this.#entries.keys()].sort()) {
      const { content, ...headers } = this.#entries.get(name) as Entry;
      const size = content === undefined ? {} : { size: content.length };
      const entry = archive.entry({ uid: 0, gid: 0, ...headers, ...size, mtime: new Date(0) });
      entry.end(content);
      await finished(entry, { readable: false });
    }
    archive.finalize();
    return bytes;
  }

  #parents(name: string): void {
    const parent = path.dirname(name);
    if (parent !== "/" && !this.#entries.has(parent)) this.directory(parent);
  }

  #add(name: string, entry: Entry): void {
    if (!path.isAbsolute(name)) throw new Error(`${name} must be an absolute path`);
    this.#entries.set(name, entry);
  }
}
