import { createHash } from "node:crypto";
import { mkdtemp, readdir, readFile, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { runProgram, systemEnvironment } from "@airlock/process";
import { runtimeFailed } from "../../contract/errors.ts";
import { findOnSystemPath } from "../../host/find-program.ts";

const sourceDirectory = fileURLToPath(new URL("agent", import.meta.url));
const defaultCompilers = ["musl-gcc", "gcc", "clang", "cc"] as const;
const compileMs = 120_000;

/** musl's wrapper hides the kernel's headers, which are no part of a C library. */
const kernelHeaders = ["/usr/include", `/usr/include/${process.arch === "arm64" ? "aarch64" : "x86_64"}-linux-gnu`];

const commonFlags = ["-std=c11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Wshadow", "-Werror", "-fno-common"];

/** No build id, no path and no time in the binary: the same compiler makes the same bytes. */
const releaseFlags = [
  "-static",
  "-Os",
  "-D_FORTIFY_SOURCE=2",
  "-fstack-protector-strong",
  "-fstack-clash-protection",
  "-Wl,-z,relro,-z,now,-z,noexecstack,--build-id=none",
  "-s",
];

const sanitizerFlags = ["-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"];

export interface BuildAgentOptions {
  readonly signal: AbortSignal;
  /** Where the binary is put, with mode 0755. The directory must exist. */
  readonly output: string;
  /** With the address and undefined behaviour sanitizers, for tests. Not static. Default: false. */
  readonly sanitize?: boolean;
  /**
   * Names of programs in the system's directories; the first that is installed is used. Default: `musl-gcc`, `gcc`,
   * `clang`, `cc`; with sanitizers `gcc`, `clang`, `cc`.
   */
  readonly compilers?: readonly string[];
  /** Absolute paths of the program's C files. Default: the guest agent's. */
  readonly sources?: readonly string[];
}

export interface BuiltAgent {
  readonly compiler: string;
  /** Hexadecimal. */
  readonly sha256: string;
}

/** Absolute paths of the agent's sources and headers, sorted. */
export async function agentSources(): Promise<readonly string[]> {
  const names = await readdir(sourceDirectory);
  return names
    .filter((name) => /\.[ch]$/.test(name))
    .sort()
    .map((name) => join(sourceDirectory, name));
}

/**
 * Compiles the guest agent for this machine's architecture.
 * @throws {AirlockError} reason `runtime` when no C compiler is installed or compiling fails.
 */
export async function buildAgent({
  signal,
  output,
  sanitize = false,
  // musl has no sanitizers.
  compilers = sanitize ? defaultCompilers.slice(1) : defaultCompilers,
  sources = [],
}: BuildAgentOptions): Promise<BuiltAgent> {
  const compiler = await findOnSystemPath(compilers);
  if (compiler === undefined) {
    const hint = "Install musl-tools, or gcc with the static C library (libc6-dev).";
    throw runtimeFailed(`no C compiler found to build the guest agent (${compilers.join(", ")})`, undefined, hint);
  }
  const files = sources.length > 0 ? sources : (await agentSources()).filter((name) => name.endsWith(".c"));
  // Beside the output, so that it is renamed as a whole and no other build sees a part of it.
  const scratch = await mkdtemp(join(dirname(output), ".build-agent-"));
  try {
    const binary = join(scratch, "agent");
    const isMusl = compiler.endsWith("musl-gcc");
    const headers = isMusl ? kernelHeaders.flatMap((directory) => ["-idirafter", directory]) : [];
    const flags = [...commonFlags, ...(sanitize ? sanitizerFlags : releaseFlags), ...headers];
    const { exitCode, stderr } = await runProgram([compiler, ...flags, "-o", binary, ...files], {
      cwd: sourceDirectory,
      env: { ...systemEnvironment, SOURCE_DATE_EPOCH: "0", TMPDIR: scratch },
      signal,
      timeoutMs: compileMs,
    });
    if (exitCode !== 0) {
      const hint = "Install the static C library: musl-tools, or libc6-dev for gcc.";
      throw runtimeFailed(`${compiler} can't build the guest agent: ${stderr.slice(-2000)}`, undefined, hint);
    }
    const sha256 = createHash("sha256")
      .update(await readFile(binary))
      .digest("hex");
    await rename(binary, output);
    return { compiler, sha256 };
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}
