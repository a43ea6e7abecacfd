export { type CacheKeyInput, cacheKey, cacheKeyText, type MountMetadata, stepJson } from "./cache/cache-key.ts";
export { type GoJson, goJson } from "./cache/go-json.ts";
export { branchNameProblem } from "./changesets/branch-name.ts";
export {
  type BuiltChangesetSpecs,
  buildChangesetSpecs,
  type ChangesetInput,
  importedChangesetSpecs,
  publicationFor,
} from "./changesets/build-changeset-specs.ts";
export {
  type ChangesetSpec,
  findDuplicateBranches,
  type ImportedChangesetSpec,
  type NewChangesetSpec,
  type ParsedChangesetSpec,
  parseChangesetSpec,
} from "./changesets/changeset-spec.ts";
export { type GroupedDiff, type GroupedDiffs, groupDiff } from "./diff/group-diff.ts";
export {
  type ChangeKind,
  changedFilesOf,
  type DiffLimits,
  defaultDiffLimits,
  type FileDiff,
  mergeDiffs,
  type ParsedDiff,
  parseDiff,
  printDiff,
} from "./diff/parse-diff.ts";
export {
  type ExecutionInput,
  executionInputText,
  type ParsedExecutionInput,
  parseExecutionInput,
} from "./execution/execution-input.ts";
export { type ParsedStepResult, parseStepResult, type StepResult, stepResultJson } from "./execution/step-result.ts";
export type {
  BatchSpec,
  ChangesetGroup,
  ChangesetHooks,
  ChangesetTemplate,
  EnvironmentVariable,
  ImportChangesets,
  Mount,
  OnRule,
  Publication,
  PublicationRule,
  Step,
  StepOutput,
  WorkspaceRule,
} from "./spec/batch-spec.ts";
export { formatSpecProblem, type ParsedSpec, parseBatchSpec } from "./spec/parse-batch-spec.ts";
export { batchSpecJsonSchema } from "./spec/spec-json-schema.ts";
export type { SpecProblem } from "./spec/spec-problem.ts";
export { type MountPath, mountPath } from "./steps/mount-path.ts";
export {
  evaluateOutputs,
  type PreparedStep,
  prepareStep,
  requiredVariables,
  resolveEnvironment,
  type StepDecision,
  type StepOutputs,
} from "./steps/prepare-step.ts";
export { defaultTemplateLimits, type TemplateLimits } from "./template/budget.ts";
export { type Rendered, renderTemplate } from "./template/render-template.ts";
export { evaluateCondition, evaluateStatically, type StaticFacts } from "./template/static-evaluation.ts";
export { outputFromJson, outputToJson, type ParsedOutput, parseStepOutput } from "./template/step-outputs.ts";
export type { TemplateProblem } from "./template/template-failure.ts";
export {
  type ChangedFiles,
  changesetVariables,
  noChangedFiles,
  type StepFacts,
  type StepTemplateFacts,
  stepVariables,
  type WorkspaceFacts,
} from "./template/template-variables.ts";
export type { Value } from "./template/values.ts";
export { aggregateRepositories, type RepositoryBranch, type RuleResult } from "./workspaces/aggregate-repositories.ts";
export {
  type FoundWorkspaces,
  findWorkspaces,
  type RepositoryFacts,
  type RuleChoice,
  staticallySkippedSteps,
  type Workspace,
  workspaceRuleFor,
} from "./workspaces/find-workspaces.ts";
export { maximumYamlLength } from "./yaml/yaml-options.ts";
