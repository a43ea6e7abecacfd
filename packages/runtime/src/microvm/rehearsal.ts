import { access, chmod, mkdir, rename, rm, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type Abortable, runtimeFailed } from "../contract/index.ts";
import { latin1 } from "../images/unpack/layer-stack.ts";
import { hiddenPaths } from "../isolation/hidden-paths.ts";
import { Ext4Disk } from "./disks/ext4/ext4-disk.ts";
import { fillDisk } from "./disks/fill-disk.ts";
import { makeGuestScratch, removeGuestScratch } from "./guest/build/guest-scratch.ts";
import type { GuestAgent } from "./guest/guest-agent.ts";
import { runGuestStep } from "./guest/run-guest-step.ts";
import { type RunningVm, slotBytes } from "./monitor/vm-monitor.ts";

/** What the program prints. */
const printed = "ready";
const program = "rehearse";
const diskBytes = 4 * 2 ** 20;
const memoryBytes = 32 * 2 ** 20;

/**
 * A first step is many times slower than later ones: the guest's kernel has not run the code for mounts, namespaces,
 * cgroups and filters, so QEMU has to translate it. A guest that waits for a job does this ahead, with a step that
 * prints one word. Nothing of it is left in the guest but its image, which stays mounted.
 */
export class Rehearsal {
  readonly #disk: string;
  readonly #seccompFilter: Buffer;

  private constructor(disk: string, seccompFilter: Buffer) {
    this.#disk = disk;
    this.#seccompFilter = seccompFilter;
  }

  /** @param directory Absolute path of a directory for the disk, which stays there for later runs. */
  static async open(
    directory: string,
    { seccompFilter, signal }: Abortable & { readonly seccompFilter: Buffer },
  ): Promise<Rehearsal> {
    await mkdir(directory, { recursive: true, mode: 0o700 });
    const path = join(directory, "1.ext4");
    const exists = await access(path).then(
      () => true,
      () => false,
    );
    if (!exists) await makeDisk(directory, path, signal);
    return new Rehearsal(path, seccompFilter);
  }

  /**
   * Runs the step, before the guest's workspace is mounted.
   * @param slot An empty disk slot, which is used up.
   * @throws {AirlockError} reason `runtime`.
   */
  async run(vm: RunningVm, agent: GuestAgent, slot: number, { signal }: Abortable): Promise<void> {
    await vm.attachImage(slot, this.#disk, { signal });
    await agent.mountImage(slot, "ext4", signal);
    const output: Buffer[] = [];
    const status = await runGuestStep(
      agent,
      {
        image: slot,
        argv: [`/${program}`],
        env: {},
        workingDirectory: "/",
        uid: 0,
        gid: 0,
        groups: [],
        hostname: program,
        capabilities: [],
        noNewPrivileges: true,
        ownNetwork: true,
        readOnlyRoot: false,
        userNamespace: true,
        readOnlySys: true,
        maskedPaths: hiddenPaths.maskedPaths,
        readOnlyPaths: hiddenPaths.readonlyPaths,
        etc: { hosts: "" },
        directories: [],
        ports: [],
        seccompFilter: this.#seccompFilter,
        limits: [],
        memoryBytes,
        pids: 16,
        cpuMicros: 100_000,
        shmBytes: 4096,
        upperBytes: 2 ** 20,
        docker: false,
        withoutWorkspace: true,
      },
      { signal, output: (_stream, bytes) => void output.push(bytes) },
    );
    if (status.kind !== "exited" || status.exitCode !== 0 || !Buffer.concat(output).equals(Buffer.from(printed)))
      throw runtimeFailed(`a virtual machine can't run steps: ${JSON.stringify(status)}`);
  }
}

async function makeDisk(directory: string, path: string, signal: AbortSignal): Promise<void> {
  await removeGuestScratch(directory);
  const scratch = await makeGuestScratch(directory);
  try {
    const tree = join(scratch, "tree");
    await mkdir(tree, { mode: 0o700 });
    await writeFile(join(tree, program), printingProgram(printed), { mode: 0o755 });
    const temporary = join(scratch, "disk");
    await using disk = await Ext4Disk.create(temporary, { bytes: diskBytes, bytesPerInode: 4096, signal });
    const attributes = { mode: 0o755, uid: 0, gid: 0, modifiedNs: 0n };
    const owner = { uid: 0, gid: 0 };
    await fillDisk(disk, { attributes, sources: [latin1(tree)], added: new Map() }, { owner, signal });
    await disk.finish({ sync: true });
    await truncate(temporary, slotBytes);
    await chmod(temporary, 0o444);
    await rename(temporary, path);
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

/** A static program for Linux on x86-64 that writes a text to its standard output. */
function printingProgram(text: string): Buffer {
  const address = 0x400000n;
  const headerBytes = 64 + 56;
  const code = Buffer.from(
    // mov eax, 1 (write); mov edi, 1; lea rsi, [rip + 16]; mov edx, length; syscall
    "b801000000bf01000000488d3510000000ba000000000f05" +
      // mov eax, 60 (exit); xor edi, edi; syscall
      "b83c00000031ff0f05",
    "hex",
  );
  code.writeUInt32LE(Buffer.byteLength(text), 18);
  const body = Buffer.concat([code, Buffer.from(text)]);
  const header = Buffer.alloc(headerBytes);
  // An executable ELF file of 64 bits with one segment, which is the whole file.
  Buffer.from("7f454c4602010100", "hex").copy(header);
  header.writeUInt16LE(2, 16);
  header.writeUInt16LE(62, 18);
  header.writeUInt32LE(1, 20);
  header.writeBigUInt64LE(address + BigInt(headerBytes), 24);
  header.writeBigUInt64LE(64n, 32);
  header.writeUInt16LE(64, 52);
  header.writeUInt16LE(56, 54);
  header.writeUInt16LE(1, 56);
  const readAndExecute = 5;
  header.writeUInt32LE(1, 64);
  header.writeUInt32LE(readAndExecute, 68);
  header.writeBigUInt64LE(address, 80);
  header.writeBigUInt64LE(address, 88);
  const size = BigInt(headerBytes + body.length);
  header.writeBigUInt64LE(size, 96);
  header.writeBigUInt64LE(size, 104);
  header.writeBigUInt64LE(0x1000n, 112);
  return Buffer.concat([header, body]);
}
