import { getSystemErrorName } from "node:util";
import type { IdRange } from "./id-range.ts";

/** System calls of Linux that Node does not offer. All are synchronous: the kernel answers from memory. */
export interface SystemCalls {
  /**
   * Mounts a file or directory at another place, which exists. Mounts below it are left out.
   * @param userNamespace Descriptor of a user namespace: a file's owner is the id to which that namespace maps its id
   * on the disk. `undefined`: owners stay the same.
   */
  bind(source: string, target: string, options: { readonly readOnly: boolean; readonly userNamespace?: number }): void;
  /** Removes a mount from its place. The kernel frees it once no process uses it. */
  unmount(path: string): void;
  /**
   * Locks the bytes of a file whose positions are these ids. The lock ends with the descriptor, and so with the process.
   * Returns `false` if another descriptor holds one of them. Shared locks exclude only those that are not shared.
   */
  lockIds(descriptor: number, ids: IdRange, options?: { readonly shared: boolean }): boolean;
}

// The numbers of these calls are the same on every architecture.
const openTreeCall = 428;
const moveMountCall = 429;
const mountSetattrCall = 442;

const atCurrentDirectory = -100;
const emptyPath = 0x1000;
const cloneTree = 1;
const closeOnExec = 0o2000000;
const fromEmptyPath = 4;
const attributes = { readOnly: 0x1n, noDevices: 0x4n, idMapped: 0x100000n };
const detach = 2;
const noFollow = 8;
const setOpenFileLock = 37;
const readLock = 0;
const writeLock = 1;

/** @returns a sentence about why there are none on this machine, as where the library has no build for it. */
export async function loadSystemCalls(): Promise<SystemCalls | { readonly problem: string }> {
  try {
    const { default: koffi } = await import("koffi");
    const libc = koffi.load(null);
    const succeeded = (result: unknown, what: string): number => {
      const value = Number(result);
      if (value >= 0) return value;
      const code = getSystemErrorName(-koffi.errno());
      throw Object.assign(new Error(`${what} failed: ${code}`), { code });
    };
    const openTree = libc.func("long syscall(long number, int from, const char *path, unsigned int flags)");
    const mountSetattr = libc.func(
      "long syscall(long number, int from, const char *path, unsigned int flags, const void *attributes, size_t size)",
    );
    const moveMount = libc.func(
      "long syscall(long number, int from, const char *path, int to, const char *target, unsigned int flags)",
    );
    const closeFile = libc.func("int close(int descriptor)");
    const umount2 = libc.func("int umount2(const char *path, int flags)");
    const fcntl = libc.func("int fcntl(int descriptor, int command, const void *lock)");
    return {
      bind(source, target, { readOnly, userNamespace }) {
        const tree = succeeded(
          openTree(openTreeCall, atCurrentDirectory, source, cloneTree | closeOnExec),
          `opening the tree ${source}`,
        );
        try {
          const set =
            (readOnly ? attributes.readOnly | attributes.noDevices : 0n) |
            (userNamespace === undefined ? 0n : attributes.idMapped);
          if (set !== 0n) {
            // struct mount_attr: attributes to set, to clear, propagation, user namespace.
            const request = Buffer.alloc(32);
            request.writeBigUInt64LE(set, 0);
            request.writeBigUInt64LE(BigInt(userNamespace ?? 0), 24);
            succeeded(
              mountSetattr(mountSetattrCall, tree, "", emptyPath, request, request.length),
              `mapping the owners of ${source}`,
            );
          }
          succeeded(
            moveMount(moveMountCall, tree, "", atCurrentDirectory, target, fromEmptyPath),
            `mounting at ${target}`,
          );
        } finally {
          closeFile(tree);
        }
      },
      unmount(path) {
        succeeded(umount2(path, detach | noFollow), `unmounting ${path}`);
      },
      lockIds(descriptor, { base, size }, { shared } = { shared: false }) {
        // struct flock: type, whence, start, length, process.
        const lock = Buffer.alloc(32);
        lock.writeInt16LE(shared ? readLock : writeLock, 0);
        lock.writeBigInt64LE(BigInt(base), 8);
        lock.writeBigInt64LE(BigInt(size), 16);
        if (Number(fcntl(descriptor, setOpenFileLock, lock)) === 0) return true;
        const code = getSystemErrorName(-koffi.errno());
        if (code === "EAGAIN" || code === "EACCES") return false;
        throw Object.assign(new Error(`locking a range of ids failed: ${code}`), { code });
      },
    };
  } catch (error) {
    const words = error instanceof Error ? error.message.replaceAll("\n", " ") : String(error);
    return { problem: `The library for system calls does not load (${words}).` };
  }
}
