import { toByteText } from "./byte-text.ts";
import { Dictionary, dictionary, type List, textList, type Value } from "./values.ts";

/** Paths of changed files, from the diff since the commit. Renamed files are listed by their new name. */
export interface ChangedFiles {
  readonly modified: readonly string[];
  readonly added: readonly string[];
  readonly deleted: readonly string[];
  readonly renamed: readonly string[];
}

export const noChangedFiles: ChangedFiles = { modified: [], added: [], deleted: [], renamed: [] };

export interface StepFacts {
  readonly changedFiles: ChangedFiles;
  /** Bytes as the step wrote them. */
  readonly stdout: string | Uint8Array;
  readonly stderr: string | Uint8Array;
}

/** What every template of a workspace knows. */
export interface WorkspaceFacts {
  readonly repository: {
    readonly name: string;
    /** With or without `refs/heads/`. */
    readonly branch: string;
    readonly searchResultPaths: readonly string[];
  };
  readonly batchChange: { readonly name: string; readonly description: string };
  /** Path of the workspace in the repository. Empty for the root. */
  readonly path: string;
  /** Results of `outputs` so far. */
  readonly outputs: ReadonlyMap<string, Value>;
  /** Changes of all steps so far. */
  readonly changedFiles: ChangedFiles;
}

/** What the templates of a step know in addition. */
export interface StepTemplateFacts extends WorkspaceFacts {
  /** The last step that ran. Skipped steps don't count. */
  readonly previousStep: StepFacts | undefined;
  /** This step. Only its outputs know it. */
  readonly step: StepFacts | undefined;
}

/** Names of the values and of their fields. `outputs` has any field. */
export const stepVariableFields = {
  repository: ["name", "branch", "search_result_paths"],
  batch_change: ["name", "description"],
  previous_step: ["modified_files", "added_files", "deleted_files", "renamed_files", "stdout", "stderr"],
  step: ["modified_files", "added_files", "deleted_files", "renamed_files", "stdout", "stderr"],
  steps: ["modified_files", "added_files", "deleted_files", "renamed_files", "stdout", "stderr", "path"],
  outputs: undefined,
} as const;

export const changesetVariableFields = {
  repository: stepVariableFields.repository,
  batch_change: stepVariableFields.batch_change,
  steps: ["modified_files", "added_files", "deleted_files", "renamed_files", "path"],
  outputs: undefined,
  batch_change_link: [],
} as const;

/** The variables of `run`, `env`, `files`, `if`, `container` and `outputs`. */
export function stepVariables(facts: StepTemplateFacts): ReadonlyMap<string, Value> {
  return new Map<string, Value>([
    ...commonVariables(facts),
    ["previous_step", stepDictionary(facts.previousStep)],
    ["step", stepDictionary(facts.step)],
    [
      "steps",
      dictionary({
        ...fileFields(facts.changedFiles),
        stdout: "",
        stderr: "",
        path: toByteText(facts.path),
      }),
    ],
  ]);
}

/** The variables of the changeset template. */
export function changesetVariables(facts: WorkspaceFacts): ReadonlyMap<string, Value> {
  return new Map<string, Value>([
    ...commonVariables(facts),
    ["steps", dictionary({ ...fileFields(facts.changedFiles), path: toByteText(facts.path) })],
    // Replaced in the body when the changeset is published, because the link is not known before.
    ["batch_change_link", "${{ batch_change_link }}"],
  ]);
}

function commonVariables(facts: WorkspaceFacts): [string, Value][] {
  const { repository, batchChange } = facts;
  return [
    [
      "repository",
      dictionary({
        name: toByteText(repository.name),
        branch: toByteText(repository.branch.replace(/^refs\/heads\//, "")),
        search_result_paths: textList([...repository.searchResultPaths].sort(), true),
      }),
    ],
    [
      "batch_change",
      dictionary({ name: toByteText(batchChange.name), description: toByteText(batchChange.description) }),
    ],
    ["outputs", new Dictionary(new Map([...facts.outputs].map(([name, value]) => [toByteText(name), value])))],
  ];
}

function stepDictionary(step: StepFacts | undefined): Value {
  return dictionary({
    ...fileFields(step?.changedFiles ?? noChangedFiles),
    stdout: toByteText(step?.stdout ?? ""),
    stderr: toByteText(step?.stderr ?? ""),
  });
}

function fileFields(files: ChangedFiles): Record<string, List> {
  return {
    modified_files: textList(files.modified),
    added_files: textList(files.added),
    deleted_files: textList(files.deleted),
    renamed_files: textList(files.renamed),
  };
}
