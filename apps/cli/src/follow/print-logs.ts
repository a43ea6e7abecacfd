import { once } from "node:events";
import type { CommandContext } from "../context/command-context.ts";
import type { InstanceClient } from "../instance/instance-client.ts";
import { SafeOutput } from "../terminal/safe-output.ts";

/** Prints the log so far: byte for byte, or on a terminal without sequences that control it. */
export async function printLogs(
  { stdout }: Pick<CommandContext, "stdout">,
  client: InstanceClient,
  id: number,
  options: {
    readonly attempt?: number | undefined;
    readonly entry?: number | undefined;
    /** Leave out headings and messages of Airlock. */
    readonly outputOnly?: boolean | undefined;
  },
): Promise<void> {
  const search = new URLSearchParams();
  if (options.attempt !== undefined) search.set("attempt", String(options.attempt));
  if (options.entry !== undefined) search.set("entry", String(options.entry));
  search.set("notes", String(!options.outputOnly));
  const response = await client.request(`jobs/${id}/logs?${search}`, { headers: { accept: "text/plain, */*" } });
  const safeOutput = stdout.isTTY ? new SafeOutput() : undefined;
  const write = async (data: string | Uint8Array) => {
    if (data.length > 0 && !stdout.write(data)) await once(stdout, "drain");
  };
  for await (const bytes of response.body ?? []) await write(safeOutput ? safeOutput.push(bytes) : bytes);
  if (safeOutput) await write(safeOutput.end() + safeOutput.breakLine());
}
