import type { Step } from "../spec/batch-spec.ts";
import { resolveEnvironment } from "../steps/prepare-step.ts";
import { compareCodePoints, type GoJson, goJson, sortedMap } from "./go-json.ts";

/** Everything that the result of a step depends on. */
export interface CacheKeyInput {
  readonly repository: {
    readonly id: string;
    readonly name: string;
    readonly baseRef: string;
    readonly baseRevision: string;
    readonly searchResultPaths: readonly string[];
  };
  readonly path: string;
  readonly onlyFetchWorkspace: boolean;
  readonly batchChange: { readonly name: string; readonly description: string };
  readonly steps: readonly Step[];
  readonly stepIndex: number;
  /** Variables from outside. Only those that the steps name count. */
  readonly outer: ReadonlyMap<string, string>;
  /** The mounted files of all steps. */
  readonly mounts: readonly MountMetadata[];
}

export interface MountMetadata {
  readonly path: string;
  readonly size: number;
  /** RFC 3339 with as many digits of the second as needed, as Go writes times. */
  readonly modified: string;
}

/** These differ from job to job, so they must not be part of a key. */
const variablesOfJobs: ReadonlySet<string> = new Set([
  "SRC_EXECUTOR_JOB_TOKEN",
  "SRC_EXECUTOR_JOB_ID",
  "SRC_EXECUTOR_NAME",
]);

/** The key under which a step's result is cached. It is the key that `src` computes for the same input. */
export async function cacheKey(input: CacheKeyInput): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(cacheKeyText(input)));
  const bytes = String.fromCharCode(...new Uint8Array(digest).subarray(0, 16));
  const text = btoa(bytes).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
  return `${text}-step-${input.stepIndex}`;
}

/** The text of which the key is the hash. */
export function cacheKeyText(input: CacheKeyInput): string {
  const { repository, batchChange } = input;
  const steps = input.steps.slice(0, input.stepIndex + 1);
  return goJson({
    Repository: {
      ID: repository.id,
      Name: repository.name,
      BaseRef: repository.baseRef,
      BaseRev: repository.baseRevision,
      FileMatches: [...repository.searchResultPaths].sort(compareCodePoints),
    },
    Path: input.path,
    OnlyFetchWorkspace: input.onlyFetchWorkspace,
    Steps: steps.map(stepJson),
    BatchChangeAttributes: { Name: batchChange.name, Description: batchChange.description },
    StepIndex: input.stepIndex,
    Environments: steps.map(({ env }) =>
      sortedMap(resolveEnvironment(env, input.outer).filter(([name]) => !variablesOfJobs.has(name))),
    ),
    ...(input.mounts.length > 0 && {
      MountsMetadata: input.mounts.map(({ path, size, modified }) => ({ Path: path, Size: size, Modified: modified })),
    }),
  });
}

/** A step as `src` and Sourcegraph write it: empty fields are left out, except `env`. */
export function stepJson(step: Step): GoJson {
  const files = [...step.files];
  return {
    ...(step.run && { run: step.run }),
    ...(step.codingAgent && { codingAgent: { type: step.codingAgent.type, prompt: step.codingAgent.prompt } }),
    ...(step.buildImage && { buildImage: { run: step.buildImage.run, baseImage: step.buildImage.baseImage } }),
    ...(step.container && { container: step.container }),
    ...(step.maxAttempts && { maxAttempts: step.maxAttempts }),
    env: environmentJson(step),
    ...(files.length > 0 && { files: sortedMap(files) }),
    ...(step.outputs.size > 0 && {
      outputs: sortedMap(
        [...step.outputs].map(([name, { value, format }]) => [
          name,
          { ...(value && { value }), ...(format !== undefined && { format }) },
        ]),
      ),
    }),
    ...(step.mount.length > 0 && {
      mount: step.mount.map(({ path, mountpoint }) => ({ mountpoint, path })),
    }),
    ...(step.if !== undefined && { if: step.if }),
  };
}

/** An object if all values are known, a list if some come from outside. */
function environmentJson({ env }: Step): GoJson {
  if (env.every(({ value }) => value !== undefined)) return sortedMap(env.map(({ name, value = "" }) => [name, value]));
  return env.map(({ name, value }) => (value === undefined ? name : { [name]: value }));
}
