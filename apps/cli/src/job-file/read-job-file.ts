import { readFile } from "node:fs/promises";
import path from "node:path";
import { text as readAll } from "node:stream/consumers";
import { AirlockError, errorMessage } from "@airlock/job";
import type { CommandContext } from "../context/command-context.ts";
import { type JobFile, parseJobFile } from "./job-file.ts";

export interface OpenedJobFile extends JobFile {
  /** Base for a relative repository path in the file. */
  readonly directory: string;
}

/** Reads and checks a job file; `-` is standard input. */
export async function readJobFile(
  file: string,
  { cwd, stdin }: Pick<CommandContext, "cwd" | "stdin">,
): Promise<OpenedJobFile> {
  if (file === "-") return { ...parseJobFile(await readAll(stdin), "standard input"), directory: cwd };
  const absolute = path.resolve(cwd, file);
  let content: string;
  try {
    content = await readFile(absolute, "utf8");
  } catch (cause) {
    throw new AirlockError(`cannot read the job file: ${errorMessage(cause)}`, {
      code: "job-file-unreadable",
      hint: "Give the path of a YAML or JSON file, or - for standard input.",
      cause,
    });
  }
  return { ...parseJobFile(content, file), directory: path.dirname(absolute) };
}
