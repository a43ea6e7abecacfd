import { closeSync, openSync, writeSync } from "node:fs";
import { endianness } from "node:os";
import { getSystemErrorName } from "node:util";

/** System calls of Linux for network namespaces. Descriptors are closed by their callers. */
export interface NetworkCalls {
  /** Creates a network namespace with nothing but a loopback interface, and returns its descriptor. */
  createLoopback(): number;
  /** Returns the descriptor of a socket that listens on 127.0.0.1 in a network namespace. */
  listen(network: number, port: number): number;
  /**
   * Returns the descriptor of a tap device, which must exist in the network namespace. A process that inherits it needs
   * no privileges and no access to `/dev/net/tun`.
   */
  openTap(network: number, name: string): number;
  /** Makes a user the only one without privileges who can open a tap device, which must exist. */
  giveTap(network: number, name: string, user: number): void;
}

const newNetwork = 0x4000_0000;
const internet = 2;
const stream = 1;
const datagram = 2;
const closeOnExec = 0o2000000;
const nonBlocking = 0o4000;
const backlog = 16;
const setInterfaceFlags = 0x8914;
const getInterfaceIndex = 0x8933;
const attachTap = 0x400454ca;
const setTapOwner = 0x400454cc;
/**
 * A tap, without packet information and without headers about offloading. With these, one frame of a guest could become
 * tens of thousands of packets in the host's kernel.
 */
const tapFlags = 0x0002 | 0x1000;
const nameBytes = 15;
const isUp = 0x1;
/** The namespace of this thread. That of the process is the main thread's. */
const ownNetwork = "/proc/thread-self/ns/net";

/** @returns a sentence about why there are none on this machine. */
export async function loadNetworkCalls(): Promise<NetworkCalls | { readonly problem: string }> {
  try {
    const { default: koffi } = await import("koffi");
    const libc = koffi.load(null);
    const unshare = libc.func("int unshare(int flags)");
    const setns = libc.func("int setns(int descriptor, int kind)");
    const socket = libc.func("int socket(int family, int type, int protocol)");
    const bind = libc.func("int bind(int descriptor, const void *address, unsigned int length)");
    const listen = libc.func("int listen(int descriptor, int backlog)");
    const ioctl = libc.func("int ioctl(int descriptor, unsigned long request, void *argument)");
    const ioctlNumber = libc.func("int ioctl(int descriptor, unsigned long request, unsigned long argument)");
    const succeeded = (result: unknown, what: string): number => {
      const value = Number(result);
      if (value >= 0) return value;
      const code = getSystemErrorName(-koffi.errno());
      throw Object.assign(new Error(`${what} failed: ${code}`), { code });
    };

    /** Runs `work` in another network. It is synchronous, so no other code of this thread runs there. */
    function elsewhere<T>(enter: () => void, work: () => T): T {
      const home = openSync(ownNetwork, "r");
      try {
        enter();
        try {
          return work();
        } finally {
          if (Number(setns(home, newNetwork)) !== 0) endProcess(getSystemErrorName(-koffi.errno()));
        }
      } finally {
        closeSync(home);
      }
    }

    function openSocket<T>(type: number, use: (descriptor: number) => T): T {
      const descriptor = succeeded(socket(internet, type | closeOnExec | nonBlocking, 0), "opening a socket");
      try {
        return use(descriptor);
      } catch (error) {
        closeSync(descriptor);
        throw error;
      }
    }

    const openTap = (network: number, name: string): number =>
      elsewhere(
        () => succeeded(setns(network, newNetwork), "entering a network namespace"),
        () => {
          if (Buffer.byteLength(name) > nameBytes) throw new RangeError(`the tap's name ${name} is too long`);
          const request = Buffer.alloc(40);
          request.write(name);
          // Attaching to a tap that does not exist would create it, without any rules.
          openSocket(datagram, (descriptor) => {
            succeeded(ioctl(descriptor, getInterfaceIndex, request), `finding the tap ${name}`);
            closeSync(descriptor);
          });
          const tap = openSync("/dev/net/tun", "r+");
          try {
            request.fill(0, nameBytes + 1);
            writeNative16(request, tapFlags, nameBytes + 1);
            succeeded(ioctl(tap, attachTap, request), `attaching to the tap ${name}`);
          } catch (error) {
            closeSync(tap);
            throw error;
          }
          return tap;
        },
      );

    return {
      createLoopback: () =>
        elsewhere(
          () => succeeded(unshare(newNetwork), "creating a network namespace"),
          () => {
            openSocket(datagram, (descriptor) => {
              // struct ifreq: the interface's name, then its flags.
              const request = Buffer.alloc(40);
              request.write("lo");
              writeNative16(request, isUp, 16);
              succeeded(ioctl(descriptor, setInterfaceFlags, request), "turning on the loopback interface");
              closeSync(descriptor);
            });
            return openSync(ownNetwork, "r");
          },
        ),
      openTap,
      giveTap: (network, name, user) => {
        const tap = openTap(network, name);
        try {
          succeeded(ioctlNumber(tap, setTapOwner, user), `giving the tap ${name} to a user`);
        } finally {
          closeSync(tap);
        }
      },
      listen: (network, port) =>
        elsewhere(
          () => succeeded(setns(network, newNetwork), "entering a network namespace"),
          () =>
            openSocket(stream, (descriptor) => {
              // struct sockaddr_in: family, port and address, both in network order.
              const address = Buffer.alloc(16);
              writeNative16(address, internet, 0);
              address.writeUInt16BE(port, 2);
              address.set([127, 0, 0, 1], 4);
              succeeded(bind(descriptor, address, address.length), `taking port ${port} of a sandbox`);
              succeeded(listen(descriptor, backlog), `listening on port ${port} of a sandbox`);
              return descriptor;
            }),
        ),
    };
  } catch (error) {
    const words = error instanceof Error ? error.message.replaceAll("\n", " ") : String(error);
    return { problem: `The library for system calls does not load (${words}).` };
  }
}

function writeNative16(buffer: Buffer, value: number, offset: number): void {
  if (endianness() === "LE") buffer.writeUInt16LE(value, offset);
  else buffer.writeUInt16BE(value, offset);
}

/** In a sandbox's network, this process would connect to the sandbox in place of the instance. */
function endProcess(code: string): never {
  writeSync(2, `cannot return from a sandbox's network namespace (${code}), so this process ends\n`);
  process.kill(process.pid, "SIGKILL");
  throw new Error(`cannot return from a sandbox's network namespace: ${code}`);
}
