import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { agentSources, buildAgent } from "../microvm/guest/build-agent.ts";

const sourceDirectory = fileURLToPath(new URL("agent", import.meta.url));
/** Files of the guest agent about frames and files, which both agents handle alike. */
const shared = ["calls.c", "paths.c", "services.c", "step-spec.c", "transfers.c", "trees.c", "wire.c"];

/**
 * Compiles the agent of pods for this machine's architecture.
 * @throws {AirlockError} reason `runtime` when no C compiler is installed or compiling fails.
 */
export async function buildPodAgent({
  signal,
  output,
}: {
  readonly signal: AbortSignal;
  /** Where the binary is put, with mode 0755. The directory must exist. */
  readonly output: string;
}): Promise<void> {
  const own = (await readdir(sourceDirectory)).filter((name) => name.endsWith(".c")).sort();
  const common = (await agentSources()).filter((path) => shared.some((name) => path.endsWith(`/${name}`)));
  await buildAgent({ signal, output, sources: [...own.map((name) => join(sourceDirectory, name)), ...common] });
}
