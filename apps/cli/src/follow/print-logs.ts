import { once } from "node:events";
import { JobView } from "@airlock/api";
import type { CommandContext } from "../context/command-context.ts";
import type { InstanceClient } from "../instance/instance-client.ts";
import { SafeOutput } from "../terminal/safe-output.ts";
import { chooseEntries } from "./choose-entries.ts";
import { LastLines } from "./last-lines.ts";

export interface PrintOptions {
  readonly attempt?: number | undefined;
  readonly entry?: number | undefined;
  /** Only the entries of the step with this key. */
  readonly step?: string | undefined;
  /** Only entries that failed. */
  readonly failed?: boolean | undefined;
  /** Only this many lines from the end. */
  readonly tail?: number | undefined;
  /** Leave out headings and messages of Airlock. */
  readonly outputOnly?: boolean | undefined;
  /** Begin each line of output with its time. */
  readonly timestamps?: boolean | undefined;
}

/** Prints the log so far: byte for byte, or on a terminal without sequences that control it. */
export async function printLogs(
  { stdout, stderr }: Pick<CommandContext, "stdout" | "stderr">,
  client: InstanceClient,
  id: number,
  options: PrintOptions,
): Promise<void> {
  const safeOutput = stdout.isTTY ? new SafeOutput() : undefined;
  const write = async (data: string | Uint8Array) => {
    if (data.length > 0 && !stdout.write(data)) await once(stdout, "drain");
  };
  const print = (bytes: Uint8Array) => write(safeOutput ? safeOutput.push(bytes) : bytes);
  const parts = await partsOf(client, id, options);
  if (parts.length === 0) stderr.write(`job ${id} has no ${options.failed ? "failed " : ""}log entry to print\n`);
  for (const part of parts) {
    const search = new URLSearchParams({
      ...part,
      notes: String(!options.outputOnly),
      ...(options.timestamps ? { times: "true" } : {}),
    });
    const response = await client.request(`jobs/${id}/logs?${search}`, { headers: { accept: "text/plain, */*" } });
    const body = response.body ?? [];
    if (options.tail === undefined) for await (const bytes of body) await print(bytes);
    else await printTail(body, { lines: options.tail, keepFirst: !options.outputOnly, print });
  }
  if (safeOutput) await write(safeOutput.end() + safeOutput.breakLine());
}

/** The queries of the requests that together return the chosen log. */
async function partsOf(client: InstanceClient, id: number, options: PrintOptions): Promise<Record<string, string>[]> {
  const { attempt, entry, step, failed } = options;
  if (step === undefined && !failed) {
    return [
      {
        ...(attempt === undefined ? {} : { attempt: String(attempt) }),
        ...(entry === undefined ? {} : { entry: String(entry) }),
      },
    ];
  }
  const entries = chooseEntries(await client.json(JobView, `jobs/${id}`), { attempt, step, failed });
  return entries.map((chosen) => ({ attempt: String(chosen.attempt), entry: String(chosen.entryId) }));
}

/**
 * Prints the last lines of one response.
 * @param options.keepFirst Also print the first line, which names the mark of Airlock's own lines. Without it, a step
 *   could print lines that look like Airlock's.
 */
async function printTail(
  body: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  options: { lines: number; keepFirst: boolean; print: (bytes: Uint8Array) => Promise<void> },
): Promise<void> {
  const last = new LastLines(options.lines);
  let inFirst = options.keepFirst;
  for await (const bytes of body) {
    const end = inFirst ? bytes.indexOf(0x0a) + 1 || bytes.length : 0;
    if (end > 0) await options.print(bytes.subarray(0, end));
    if (end > 0 && bytes[end - 1] === 0x0a) inFirst = false;
    if (end < bytes.length) last.push(bytes.subarray(end));
  }
  await options.print(last.end());
}
