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
export { maximumYamlLength } from "./yaml/read-yaml.ts";
