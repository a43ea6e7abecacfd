import { once } from "node:events";
import type { CommandContext } from "../context/command-context.ts";
import type { InstanceClient } from "../instance/instance-client.ts";
import { SafeOutput } from "../terminal/safe-output.ts";

/** Prints the log that there is: byte for byte, or on a terminal without what could steer it. */
export async function printLogs(
  { stdout }: Pick<CommandContext, "stdout">,
  client: InstanceClient,
  id: number,
  options: { readonly attempt?: number | undefined; readonly entry?: number | undefined },
): Promise<void> {
  const search = new URLSearchParams();
  if (options.attempt !== undefined) search.set("attempt", String(options.attempt));
  if (options.entry !== undefined) search.set("entry", String(options.entry));
  const response = await client.request(`jobs/${id}/logs?${search}`, { headers: { accept: "text/plain, */*" } });
  const safeOutput = stdout.isTTY ? new SafeOutput() : undefined;
  const write = async (data: string | Uint8Array) => {
    if (data.length > 0 && !stdout.write(data)) await once(stdout, "drain");
  };
  for await (const bytes of response.body ?? []) await write(safeOutput ? safeOutput.push(bytes) : bytes);
  if (safeOutput) await write(safeOutput.end() + safeOutput.breakLine());
}
