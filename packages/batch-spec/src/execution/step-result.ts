import { z } from "zod";
import { type GoJson, sortedMap } from "../cache/go-json.ts";
import { toByteText } from "../template/byte-text.ts";
import { outputFromJson, outputToJson } from "../template/step-outputs.ts";
import type { ChangedFiles } from "../template/template-variables.ts";
import type { Value } from "../template/values.ts";

/** What one step has left. The diff contains the changes of all steps so far. */
export interface StepResult {
  readonly stepIndex: number;
  readonly changedFiles: ChangedFiles;
  readonly stdout: string;
  readonly stderr: string;
  readonly diff: Uint8Array;
  readonly outputs: ReadonlyMap<string, Value>;
  readonly skipped: boolean;
}

const paths = z
  .array(z.string())
  .nullish()
  .transform((list) => list ?? []);

const common = {
  changedFiles: z
    .object({ modified: paths, added: paths, deleted: paths, renamed: paths })
    .nullish()
    .transform((files) => files ?? { modified: [], added: [], deleted: [], renamed: [] }),
  stdout: z.string().default(""),
  stderr: z.string().default(""),
  stepIndex: z.int().min(0),
  diff: z.string().default(""),
  outputs: z.record(z.string(), z.unknown()).nullish(),
  skipped: z.boolean().default(false),
};

const stepResult = z.object({ version: z.int().min(0).max(2).default(1), ...common });

export type ParsedStepResult =
  | { readonly result: StepResult; readonly problem?: undefined }
  | { readonly result?: undefined; readonly problem: string };

/** Reads a step's result in version 1, with the diff as text, or version 2, with the diff in base64. */
export function parseStepResult(json: unknown): ParsedStepResult {
  const parsed = stepResult.safeParse(json);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    return { problem: `${issue?.path.join(".") || "the result"}: ${issue?.message}` };
  }
  const { version, diff, outputs, ...rest } = parsed.data;
  const bytes = version === 2 ? fromBase64(diff) : new TextEncoder().encode(diff);
  if (!bytes) return { problem: "diff: is not base64" };
  const values = new Map<string, Value>();
  for (const [name, output] of Object.entries(outputs ?? {})) {
    const value = outputFromJson(output);
    if (value === undefined) return { problem: `outputs.${name}: is nested too deeply` };
    values.set(name, value);
  }
  return { result: { ...rest, diff: bytes, outputs: values } };
}

/** A step's result in version 2. */
export function stepResultJson(result: StepResult): GoJson {
  const { modified, added, deleted, renamed } = result.changedFiles;
  return {
    version: 2,
    changedFiles: { modified, added, deleted, renamed },
    stdout: result.stdout,
    stderr: result.stderr,
    stepIndex: result.stepIndex,
    diff: btoa(toByteText(result.diff)),
    outputs: sortedMap([...result.outputs].map(([name, value]) => [name, outputToJson(value)])),
    skipped: result.skipped,
  };
}

function fromBase64(text: string): Uint8Array | undefined {
  if (!/^[A-Za-z0-9+/]*={0,2}$/.test(text) || text.length % 4 !== 0) return undefined;
  const bytes = atob(text);
  return Uint8Array.from({ length: bytes.length }, (_, index) => bytes.charCodeAt(index));
}
