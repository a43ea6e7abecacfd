import { readFile } from "node:fs/promises";
import path from "node:path";
import { text as readAll } from "node:stream/consumers";
import type { CommandContext } from "../context/command-context.ts";
import { UsageError } from "../context/command-error.ts";
import { describeFileError } from "../context/describe-file-error.ts";
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
    throw new UsageError(
      `cannot read the job file ${file}: ${describeFileError(cause)}`,
      "Give the path of a YAML or JSON file, or - for standard input.",
      { code: "job-file-unreadable", cause },
    );
  }
  return { ...parseJobFile(content, file), directory: path.dirname(absolute) };
}
