import { isIPv6 } from "node:net";
import type { Duplex } from "node:stream";
import { AirlockError } from "@airlock/job";
import { parseRange } from "../../egress/addresses/ip-range.ts";
import { GuestViolation } from "./frames.ts";
import { GuestCallError } from "./guest-call-error.ts";
import { GuestConnection } from "./guest-connection.ts";
import { GuestListing, type ListingLimits } from "./guest-listing.ts";
import { PayloadWriter } from "./payload-writer.ts";

/** Numbers of the methods, docs/guest-protocol.md. */
export const methods = {
  seed: 1,
  clock: 2,
  mountImage: 3,
  mountWorkspace: 4,
  putFile: 5,
  clearStepFiles: 6,
  run: 7,
  signal: 8,
  countProcesses: 9,
  readFile: 10,
  list: 11,
  readLink: 12,
  removeFile: 13,
  stats: 14,
  stop: 15,
  powerOff: 16,
  network: 17,
  startDocker: 18,
} as const;

const imageTypes = { erofs: 0, squashfs: 1, ext4: 2 } as const;
const places = { workspace: 0, "job-files": 1, "step-files": 2 } as const;
const now = -(2n ** 63n);
const noDisk = 255;

export interface ConnectOptions {
  readonly signal: AbortSignal;
  /** 32 random bytes of the host. */
  readonly seed: Buffer;
  readonly time: Date;
  /** A call other than a step fails when the guest is silent for this time. Default: 30 s. */
  readonly stallMs?: number;
}

/** What the guest's first Ethernet device is told. */
export interface GuestNetwork {
  /** At least 1280. */
  readonly mtu: number;
  /** Ethernet address of the gateways. */
  readonly gatewayMac: string;
  /** At most one of each family. */
  readonly addresses: readonly GuestAddress[];
}

interface GuestAddress {
  readonly address: string;
  readonly prefixLength: number;
  /** Of the same family. It need not be in the prefix. */
  readonly gateway: string;
}

/** How the guest's Docker daemon is started. */
export interface GuestDocker {
  /** Index of the mounted disk with the daemon. */
  readonly disk: number;
  /** Limits of the daemon and its containers together. 0: no limit. */
  readonly memoryBytes: number;
  readonly pids: number;
  /** Microseconds of CPU time per 100 ms. */
  readonly cpuMicros: number;
  /** Content of `/etc/resolv.conf`. */
  readonly resolvConf: string;
  /** Programs on the disk and their arguments, at most 64 together with `variables`. None is empty. */
  readonly containerd: readonly [string, ...string[]];
  readonly dockerd: readonly [string, ...string[]];
  /** Variables of dockerd: `NAME=VALUE`. */
  readonly variables: readonly string[];
}

export interface PutFile {
  /** `job-files` and `step-files` appear below `/airlock`. They are kept in memory, never on a disk. */
  readonly place: keyof typeof places;
  readonly path: Buffer;
  /** Permission bits, 0 to 0o777. */
  readonly mode: number;
  readonly modifiedAt: Date | undefined;
  readonly content: Buffer | AsyncIterable<Buffer>;
}

export interface GuestStats {
  readonly memoryBytes: number;
  readonly freeMemoryBytes: number;
  readonly processes: number;
  readonly diskBytes: number;
  readonly freeDiskBytes: number;
}

/** The agent of one guest, as calls. Everything that it returns is a claim of the guest, parsed and bounded. */
export class GuestAgent implements Disposable {
  readonly connection: GuestConnection;
  readonly stallMs: number;

  private constructor(connection: GuestConnection, stallMs: number) {
    this.connection = connection;
    this.stallMs = stallMs;
  }

  /**
   * Greets the agent, then seeds its random numbers and sets its clock, before anything else can run.
   * @throws {AirlockError} reason `runtime`; `signal.reason` when aborted. The stream is destroyed then.
   */
  static async connect(stream: Duplex, { signal, seed, time, stallMs = 30_000 }: ConnectOptions): Promise<GuestAgent> {
    const connection = new GuestConnection(stream);
    const agent = new GuestAgent(connection, stallMs);
    try {
      await connection.greet(signal);
      await agent.reseed(seed, time, signal);
      return agent;
    } catch (error) {
      connection[Symbol.dispose]();
      throw error;
    }
  }

  /**
   * Seeds the guest's random numbers with 32 bytes and sets its clock. Needed again after a restore from a snapshot,
   * before anything runs: clones of a snapshot share both.
   */
  async reseed(seed: Buffer, time: Date, signal: AbortSignal): Promise<void> {
    if (seed.length !== 32) throw new RangeError("a seed has 32 bytes");
    await this.#plain(methods.seed, signal, (payload) => payload.bytes(seed));
    const ms = time.getTime();
    await this.#plain(methods.clock, signal, (payload) =>
      payload.uint64(Math.floor(ms / 1000)).uint32((ms % 1000) * 1_000_000),
    );
  }

  /** Mounts the disk with this index, 0 to 25, read-only as an image. */
  async mountImage(index: number, type: keyof typeof imageTypes, signal: AbortSignal): Promise<void> {
    await this.#plain(methods.mountImage, signal, (payload) => payload.uint8(index).uint8(imageTypes[type]));
  }

  /** Mounts the workspace: an ext4 disk of at least 90 % of this size, or a tmpfs when `disk` is `null`. */
  async mountWorkspace(disk: number | null, sizeBytes: number, signal: AbortSignal): Promise<void> {
    await this.#plain(methods.mountWorkspace, signal, (payload) => payload.uint8(disk ?? noDisk).uint64(sizeBytes));
  }

  /** Sets up the guest's network device and loopback, once. Steps use them unless they have a network of their own. */
  async setNetwork({ mtu, gatewayMac, addresses }: GuestNetwork, signal: AbortSignal): Promise<void> {
    const payload = new PayloadWriter()
      .uint8(methods.network)
      .uint16(mtu)
      .bytes(Buffer.from(gatewayMac.replaceAll(":", ""), "hex"));
    for (const { address, prefixLength, gateway } of addresses) {
      payload.uint8(isIPv6(address) ? 6 : 4).bytes(addressBytes(address));
      payload.uint8(prefixLength).bytes(addressBytes(gateway));
    }
    await this.connection.call(payload.toBuffer(), { signal, stallMs: this.stallMs });
  }

  /** Writes a file. Creates missing directories, and follows no link. */
  async putFile({ place, path, mode, modifiedAt, content }: PutFile, signal: AbortSignal): Promise<void> {
    const payload = new PayloadWriter()
      .uint8(methods.putFile)
      .uint8(places[place])
      .uint16(mode)
      .int64(modifiedAt ? BigInt(Math.floor(modifiedAt.getTime())) : now)
      .path(path)
      .toBuffer();
    const upload = Buffer.isBuffer(content) ? once(content) : content;
    await this.connection.call(payload, { signal, stallMs: this.stallMs, upload });
  }

  async clearStepFiles(signal: AbortSignal): Promise<void> {
    await this.#plain(methods.clearStepFiles, signal);
  }

  /**
   * Signals every process of the step whose call has this channel: 15 (SIGTERM) or 9 (SIGKILL). Returns their number,
   * which is 0 before the script starts.
   */
  async signalStep(channel: number, number: 9 | 15, signal: AbortSignal): Promise<number> {
    const payload = new PayloadWriter().uint8(methods.signal).uint32(channel).uint8(number).toBuffer();
    return await this.connection.call(payload, { signal, stallMs: this.stallMs }, (result) => result.uint32());
  }

  /** Number of processes of the step, its script included. */
  async countProcesses(signal: AbortSignal): Promise<number> {
    const payload = Buffer.of(methods.countProcesses);
    return await this.connection.call(payload, { signal, stallMs: this.stallMs }, (result) => result.uint32());
  }

  /**
   * Reads a regular file, or a part of it.
   * @returns `null` when there is no file or a link is part of its path.
   * @throws {AirlockError} code `file-too-large`.
   * @throws {GuestCallError} code `not-a-file` when it is another kind of entry, or not the one with `inode`.
   */
  async readFile(
    path: Buffer,
    options: {
      readonly signal: AbortSignal;
      /** Largest size of the whole file. */
      readonly maximumBytes: number;
      readonly inode?: bigint;
      /** Default: the whole file. */
      readonly part?: { readonly offset: number; readonly length: number };
    },
  ): Promise<Buffer | null> {
    const { signal, maximumBytes, inode = 0n, part } = options;
    const length = part?.length ?? maximumBytes;
    const payload = new PayloadWriter()
      .uint8(methods.readFile)
      .uint64(maximumBytes)
      .uint64(inode)
      .uint64(part?.offset ?? 0)
      .uint64(length)
      .path(path)
      .toBuffer();
    try {
      return await this.#collect(payload, length, signal);
    } catch (error) {
      if (!(error instanceof GuestCallError)) throw error;
      if (error.code === "not-found") return null;
      if (error.code !== "too-large") throw error;
      const name = path.toString("latin1").replace(/[^\x20-\x7e]/g, "?");
      throw new AirlockError(`the file "${name}" is larger than ${maximumBytes} bytes`, { code: "file-too-large" });
    }
  }

  /**
   * The entries of one directory. `null` when it does not exist or a link is part of its path.
   * @throws {AirlockError} code `too-many-files` when there are more than `limits` permit.
   */
  async list(path: Buffer, limits: ListingLimits, signal: AbortSignal): Promise<GuestListing | null> {
    const listing = new GuestListing(limits);
    const onData = (_stream: number, bytes: Buffer) => listing.add(bytes);
    const payload = new PayloadWriter().uint8(methods.list).path(path).toBuffer();
    try {
      await this.connection.call(payload, { signal, stallMs: this.stallMs, streams: 1, onData });
      return listing;
    } catch (error) {
      if (error instanceof GuestCallError && error.code === "not-found") return null;
      throw error;
    }
  }

  /** The target of a symbolic link. */
  async readLink(path: Buffer, signal: AbortSignal): Promise<Buffer> {
    const payload = new PayloadWriter().uint8(methods.readLink).path(path).toBuffer();
    return await this.connection.call(payload, { signal, stallMs: this.stallMs }, (result) => result.rest());
  }

  async removeFile(path: Buffer, signal: AbortSignal): Promise<void> {
    await this.#plain(methods.removeFile, signal, (payload) => payload.path(path));
  }

  async stats(signal: AbortSignal): Promise<GuestStats> {
    const payload = Buffer.of(methods.stats);
    return await this.connection.call(payload, { signal, stallMs: this.stallMs }, (result) => {
      const [memoryBytes, freeMemoryBytes, processes] = [result.uint53(), result.uint53(), result.uint53()];
      const [diskBytes, freeDiskBytes] = [result.uint53(), result.uint53()];
      return { memoryBytes, freeMemoryBytes, processes, diskBytes, freeDiskBytes };
    });
  }

  /**
   * Starts the Docker daemon of the guest, once, and waits until it answers. It ends with `stop`.
   * @param onLog takes what the daemon prints until then.
   * @throws {GuestCallError} when it ends before: code `out-of-memory` for its memory limit, else `system`.
   */
  async startDocker(
    { disk, memoryBytes, pids, cpuMicros, resolvConf, containerd, dockerd, variables }: GuestDocker,
    { signal, onLog }: { readonly signal: AbortSignal; readonly onLog: (bytes: Buffer) => void },
  ): Promise<void> {
    const payload = new PayloadWriter().uint8(methods.startDocker).uint8(disk);
    payload.uint64(memoryBytes).uint64(pids).uint64(cpuMicros).path(Buffer.from(resolvConf));
    for (const argument of [...containerd, "", ...dockerd, "", ...variables]) payload.path(Buffer.from(argument));
    await this.connection.call(payload.toBuffer(), {
      signal,
      stallMs: this.stallMs,
      mayBeSilent: true,
      streams: 1,
      onData: (_stream, bytes) => onLog(bytes),
    });
  }

  /** Ends every process of the job for good. No step can run afterwards. */
  async stop(signal: AbortSignal): Promise<void> {
    await this.#plain(methods.stop, signal);
  }

  /** Asks the guest to power off. Whether it does is for the monitor's process to show. */
  async powerOff(signal: AbortSignal): Promise<void> {
    await this.#plain(methods.powerOff, signal);
  }

  [Symbol.dispose](): void {
    this.connection[Symbol.dispose]();
  }

  /** Makes a call whose result is empty. */
  async #plain(method: number, signal: AbortSignal, write = (payload: PayloadWriter) => payload): Promise<void> {
    const payload = write(new PayloadWriter().uint8(method)).toBuffer();
    await this.connection.call(payload, { signal, stallMs: this.stallMs });
  }

  async #collect(payload: Buffer, maximumBytes: number, signal: AbortSignal): Promise<Buffer> {
    // One buffer that grows: a guest may send every byte alone, and an object for each would take a hundred times as much.
    let collected = Buffer.alloc(0);
    let length = 0;
    const onData = (_stream: number, bytes: Buffer) => {
      const needed = length + bytes.length;
      if (needed > maximumBytes) throw new GuestViolation("more of a file than it was asked for");
      if (needed > collected.length) {
        const larger = Buffer.alloc(Math.min(maximumBytes, Math.max(needed, 2 * collected.length)));
        collected.copy(larger);
        collected = larger;
      }
      bytes.copy(collected, length);
      length = needed;
    };
    await this.connection.call(payload, { signal, stallMs: this.stallMs, streams: 1, onData });
    return collected.subarray(0, length);
  }
}

function addressBytes(address: string): Buffer {
  const { family, first } = parseRange(address);
  return Buffer.from(first.toString(16).padStart(family === 4 ? 8 : 32, "0"), "hex");
}

async function* once(content: Buffer): AsyncGenerator<Buffer> {
  yield content;
}
