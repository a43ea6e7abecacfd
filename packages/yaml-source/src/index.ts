export { describeIssues } from "./describe-issues.ts";
export { type FieldProblem, formatPath } from "./field-problem.ts";
export { readYaml, type Span, type YamlDocument, type YamlProblem } from "./read-yaml.ts";
