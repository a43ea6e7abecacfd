import { z } from "zod";
import { stepJson } from "../cache/cache-key.ts";
import { type GoJson, goJson } from "../cache/go-json.ts";
import type { Step } from "../spec/batch-spec.ts";
import { makeStep } from "../spec/parse-batch-spec.ts";
import { inputStepSchema } from "../spec/spec-schema.ts";
import { parseStepResult, type StepResult, stepResultJson } from "./step-result.ts";

/** Everything that an executor needs for one workspace. It travels as the file `input.json`. */
export interface ExecutionInput {
  readonly batchChange: { readonly name: string; readonly description: string };
  readonly repository: { readonly id: string; readonly name: string };
  /** With `refs/heads/`. */
  readonly branch: string;
  readonly revision: string;
  readonly path: string;
  readonly onlyFetchWorkspace: boolean;
  readonly steps: readonly Step[];
  readonly searchResultPaths: readonly string[];
  /** The last step's result that a cache had. */
  readonly cachedResult: StepResult | undefined;
  readonly skippedSteps: readonly number[];
}

/** What the original writes without a cached result. */
const noResult: GoJson = {
  changedFiles: { modified: null, added: null, deleted: null, renamed: null },
  stdout: "",
  stderr: "",
  stepIndex: 0,
  diff: "",
  outputs: null,
};

/** The text of `input.json`, as the original's executors and helpers read it. */
export function executionInputText(input: ExecutionInput): string {
  return goJson({
    BatchChangeAttributes: { Name: input.batchChange.name, Description: input.batchChange.description },
    repository: { id: input.repository.id, name: input.repository.name },
    branch: { name: input.branch, target: { oid: input.revision } },
    path: input.path,
    onlyFetchWorkspace: input.onlyFetchWorkspace,
    steps: input.steps.map(stepJson),
    searchResultPaths: input.searchResultPaths,
    cachedStepResultFound: input.cachedResult !== undefined,
    cachedStepResult: input.cachedResult ? stepResultJson(input.cachedResult) : noResult,
    skippedSteps: new Map(input.skippedSteps.map((index) => [String(index), {}])),
  });
}

const schema = z.object({
  BatchChangeAttributes: z
    .object({ Name: z.string().default(""), Description: z.string().default("") })
    .nullish()
    .transform((attributes) => ({ name: attributes?.Name ?? "", description: attributes?.Description ?? "" })),
  repository: z.object({ id: z.string().default(""), name: z.string() }),
  branch: z.object({ name: z.string(), target: z.object({ oid: z.string() }) }),
  path: z.string().default(""),
  onlyFetchWorkspace: z.boolean().default(false),
  steps: z.array(inputStepSchema).min(1, "has no steps"),
  searchResultPaths: z
    .array(z.string())
    .nullish()
    .transform((paths) => paths ?? []),
  cachedStepResultFound: z.boolean().default(false),
  cachedStepResult: z.unknown(),
  skippedSteps: z.record(z.string().regex(/^\d{1,6}$/, "is not the index of a step"), z.unknown()).nullish(),
});

export type ParsedExecutionInput =
  | { readonly input: ExecutionInput; readonly problem?: undefined }
  | { readonly input?: undefined; readonly problem: string };

/** Reads `input.json`. Unknown fields are ignored, because later versions add some. */
export function parseExecutionInput(text: string): ParsedExecutionInput {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    return { problem: `is not JSON: ${error instanceof Error ? error.message : String(error)}` };
  }
  const parsed = schema.safeParse(json);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    return { problem: `${issue?.path.join(".") || "the input"}: ${issue?.message}` };
  }
  const { data } = parsed;
  const cached = data.cachedStepResultFound ? parseStepResult(data.cachedStepResult) : undefined;
  if (cached?.problem !== undefined) return { problem: `cachedStepResult.${cached.problem}` };
  return {
    input: {
      batchChange: data.BatchChangeAttributes,
      repository: data.repository,
      branch: data.branch.name,
      revision: data.branch.target.oid,
      path: data.path,
      onlyFetchWorkspace: data.onlyFetchWorkspace,
      steps: data.steps.map(makeStep),
      searchResultPaths: data.searchResultPaths,
      cachedResult: cached?.result,
      skippedSteps: Object.keys(data.skippedSteps ?? {}).map(Number),
    },
  };
}
