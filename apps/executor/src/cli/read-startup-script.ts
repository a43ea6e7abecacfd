import { constants } from "node:fs";
import { open } from "node:fs/promises";
import { AirlockError } from "@airlock/job";

const maximumBytes = 2 ** 20;

/**
 * Reads the script that `EXECUTOR_VM_STARTUP_SCRIPT_PATH` names.
 * @throws {AirlockError} code `invalid-configuration`.
 */
export async function readStartupScript(path: string): Promise<Buffer> {
  let script: Buffer;
  try {
    // Without waiting: the path may name a pipe.
    await using file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    if (!(await file.stat()).isFile()) throw unusable(path, "is not a file");
    // One byte more tells a longer file apart.
    const { buffer, bytesRead } = await file.read({ buffer: Buffer.alloc(maximumBytes + 1) });
    script = buffer.subarray(0, bytesRead);
  } catch (error) {
    throw error instanceof AirlockError ? error : unusable(path, "can't be read", error);
  }
  if (script.length > maximumBytes) throw unusable(path, "has more than 1 MiB");
  if (script.includes(0)) throw unusable(path, "is not a shell script: it contains a NUL byte");
  return script;
}

function unusable(path: string, problem: string, cause?: unknown): AirlockError {
  return new AirlockError(`the startup script ${path} ${problem}`, {
    code: "invalid-configuration",
    hint: "Correct EXECUTOR_VM_STARTUP_SCRIPT_PATH, or unset it.",
    cause,
  });
}
