import type { FieldProblem } from "@airlock/yaml-source";
import { checkTemplate, type VariableFields } from "../template/check-template.ts";
import { changesetVariableFields, stepVariableFields } from "../template/template-variables.ts";
import type { RawBatchSpec, RawStep } from "./spec-schema.ts";

type Path = readonly (string | number)[];

/** Checks the templates of a spec without executing them. */
export function checkTemplates(spec: RawBatchSpec): readonly FieldProblem[] {
  const problems: FieldProblem[] = [];
  const check = (path: Path, text: unknown, variables: VariableFields) => {
    if (typeof text !== "string") return;
    const problem = checkTemplate(text, variables);
    if (!problem) return;
    const place = `line ${problem.line}, column ${problem.column} of this template`;
    problems.push({ path, target: "value", message: problem.message, help: place });
  };
  const checkStep = (step: Partial<RawStep>, path: Path) => {
    for (const field of ["run", "container", "image", "if"] as const)
      check([...path, field], step[field], stepVariableFields);
    const env = Array.isArray(step.env) ? step.env : [step.env ?? {}];
    for (const [index, item] of env.entries()) {
      const at = Array.isArray(step.env) ? [...path, "env", index] : [...path, "env"];
      if (typeof item === "string") continue;
      for (const [name, value] of Object.entries(item)) check([...at, name], value, stepVariableFields);
    }
    for (const [target, content] of Object.entries(step.files ?? {})) {
      check([...path, "files", target], content, stepVariableFields);
    }
    for (const [name, { value }] of Object.entries(step.outputs ?? {})) {
      check([...path, "outputs", name, "value"], value, stepVariableFields);
    }
  };
  for (const [index, step] of (spec.steps ?? []).entries()) checkStep(step, ["steps", index]);
  for (const hook of ["onCIFailure", "onMergeConflict"] as const) {
    const steps = spec.changesetHooks?.[hook]?.steps ?? [];
    for (const [index, step] of steps.entries()) checkStep(step, ["changesetHooks", hook, "steps", index]);
  }
  const template = spec.changesetTemplate;
  if (template != null) {
    const path = ["changesetTemplate"];
    for (const field of ["title", "body", "branch"] as const)
      check([...path, field], template[field], changesetVariableFields);
    check([...path, "commit", "message"], template.commit.message, changesetVariableFields);
    for (const field of ["name", "email"] as const) {
      check([...path, "commit", "author", field], template.commit.author?.[field], changesetVariableFields);
    }
  }
  return problems;
}
