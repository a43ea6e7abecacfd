import { runProgram, systemEnvironment } from "@airlock/process";
import { runtimeFailed } from "../../../contract/errors.ts";

/** Larger than any kernel. */
const maxKernelBytes = 256 * 2 ** 20;
const decompressMs = 60_000;

/**
 * Takes the kernel itself (an ELF file) out of a `vmlinuz` file. Firecracker boots only the ELF file. QEMU boots both,
 * but a guest under TCG would need seconds to decompress its kernel.
 * @throws {AirlockError} reason `runtime` when the file is not a kernel for x86, or its compression is unknown.
 */
export async function extractVmlinux(vmlinuz: Buffer, signal: AbortSignal): Promise<Buffer> {
  const isBootable = vmlinuz.length > 0x250 && vmlinuz.toString("latin1", 0x202, 0x206) === "HdrS";
  if (!isBootable) throw runtimeFailed("the kernel package's vmlinuz is not a kernel for x86");
  // Documentation/x86/boot.rst of the kernel: number of setup sectors, place and length of the payload behind them.
  const setupBytes = ((vmlinuz.readUInt8(0x1f1) || 4) + 1) * 512;
  const start = setupBytes + vmlinuz.readUInt32LE(0x248);
  // Four bytes with the decompressed size follow.
  const payload = vmlinuz.subarray(start, start + vmlinuz.readUInt32LE(0x24c) - 4);
  const vmlinux = await decompress(payload, signal);
  if (vmlinux.toString("latin1", 0, 4) !== "\x7fELF")
    throw runtimeFailed("the kernel package's vmlinuz has no ELF file");
  return vmlinux;
}

/** Programs by the first bytes of what they decompress. */
const decompressors: Readonly<Record<string, readonly [string, ...string[]]>> = {
  fd377a58: ["xz", "--decompress", "--stdout"],
  "02214c18": ["lz4", "--decompress", "--stdout"],
  "28b52ffd": ["zstd", "--decompress", "--stdout"],
};

async function decompress(payload: Buffer, signal: AbortSignal): Promise<Buffer> {
  const magic = payload.toString("hex", 0, 4);
  const command = magic.startsWith("1f8b") ? ["gzip", "--decompress", "--stdout"] : decompressors[magic];
  if (!command) throw runtimeFailed(`the kernel is compressed with an unknown method (${magic})`);
  const pieces: Buffer[] = [];
  let bytes = 0;
  const { exitCode, stderr } = await runProgram(command, {
    env: systemEnvironment,
    stdin: payload,
    signal,
    timeoutMs: decompressMs,
    onStdout: (piece) => {
      bytes += piece.length;
      if (bytes > maxKernelBytes) throw runtimeFailed("the decompressed kernel is too large");
      pieces.push(piece);
    },
  });
  if (exitCode !== 0) throw runtimeFailed(`${command[0]} can't decompress the kernel: ${stderr}`);
  return Buffer.concat(pieces);
}
