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
export { maximumYamlLength } from "./yaml/read-yaml.ts";
