import { AirlockError } from "@airlock/job";
import type { Sandbox } from "@airlock/runtime";
import { z } from "zod";

const Skip = z.object({ nextStep: z.string() });
const file = "skip.json";
const maximumBytes = 64 * 1024;

/**
 * Implements the protocol's way to skip steps. After a step named `….pre`, the workspace file `skip.json` may name the
 * step to continue with. A step wrote the file, so a malformed one counts as no request.
 */
export async function readSkip(sandbox: Sandbox, stepName: string, signal: AbortSignal): Promise<string | undefined> {
  if (!stepName.endsWith(".pre")) return undefined;
  const content = await sandbox.readFile(file, { maximumBytes, signal }).catch((error: unknown) => {
    if (error instanceof AirlockError && error.code === "file-too-large") return null;
    throw error;
  });
  if (content === null) return undefined;
  const request = parse(content);
  await sandbox.removeFile(file, { signal });
  return request;
}

function parse(content: Buffer): string | undefined {
  try {
    return Skip.safeParse(JSON.parse(content.toString())).data?.nextStep;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}
