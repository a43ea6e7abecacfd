import type { BatchSpec, EnvironmentVariable, Step } from "../spec/batch-spec.ts";
import { renderTemplate } from "../template/render-template.ts";
import { parseStepOutput } from "../template/step-outputs.ts";
import { type StepTemplateFacts, stepVariables } from "../template/template-variables.ts";
import type { Value } from "../template/values.ts";

/** A step with everything rendered, ready to run. */
export interface PreparedStep {
  readonly script: string;
  readonly image: string;
  /** In the order of the spec. */
  readonly environment: readonly (readonly [name: string, value: string])[];
  /** Contents by path in the container. */
  readonly files: ReadonlyMap<string, string>;
}

export type StepDecision =
  | { readonly kind: "run"; readonly step: PreparedStep }
  | { readonly kind: "skip" }
  | { readonly kind: "problem"; readonly field: string; readonly message: string };

/** A fault in a step's template. It ends the rendering of the step. */
class FieldFailure extends Error {
  readonly field: string;

  constructor(field: string, message: string) {
    super(message);
    this.field = field;
  }
}

/**
 * Decides whether a step runs, and renders it. `outer` are the environment variables from outside: secrets on an instance,
 * the environment on the command line. Only variables that the step names are read.
 */
export function prepareStep(step: Step, facts: StepTemplateFacts, outer: ReadonlyMap<string, string>): StepDecision {
  const variables = stepVariables(facts);
  const render = (field: string, text: string) => {
    const { text: rendered, problem } = renderTemplate(text, variables);
    if (problem) throw new FieldFailure(field, `line ${problem.line}, column ${problem.column}: ${problem.message}`);
    return rendered ?? "";
  };
  try {
    if (step.if === false) return { kind: "skip" };
    if (typeof step.if === "string" && step.if !== "" && render("if", step.if).trim() !== "true")
      return { kind: "skip" };
    if (step.run === undefined || step.container === undefined) {
      return { kind: "problem", field: "run", message: "coding agents and image builds can't be run" };
    }
    const environment = resolveEnvironment(step.env, outer);
    return {
      kind: "run",
      step: {
        script: render("run", step.run),
        image: render("container", step.container).trim(),
        environment: environment.map(([name, value]) => [name, render(`env.${name}`, value)]),
        files: new Map([...step.files].map(([path, content]) => [path, render(`files.${path}`, content)])),
      },
    };
  } catch (error) {
    if (error instanceof FieldFailure) return { kind: "problem", field: error.field, message: error.message };
    throw error;
  }
}

/** Values of a step's variables. Variables that are missing outside are empty, as in the original. */
export function resolveEnvironment(
  variables: readonly EnvironmentVariable[],
  outer: ReadonlyMap<string, string>,
): readonly (readonly [name: string, value: string])[] {
  const resolved = new Map(variables.map(({ name, value }) => [name, value ?? outer.get(name) ?? ""]));
  return [...resolved];
}

/** Names of all variables that a spec takes from outside, in the order of the steps. */
export function requiredVariables(spec: BatchSpec): readonly string[] {
  const names = spec.steps.flatMap(({ env }) => env.filter(({ value }) => value === undefined).map(({ name }) => name));
  return [...new Set(names)];
}

export type StepOutputs =
  | { readonly outputs: ReadonlyMap<string, Value>; readonly problem?: undefined }
  | { readonly outputs?: undefined; readonly problem: { readonly field: string; readonly message: string } };

/** The outputs after a step: those of earlier steps, and its own, which replace others of the same name. */
export function evaluateOutputs(step: Step, facts: StepTemplateFacts): StepOutputs {
  const outputs = new Map(facts.outputs);
  for (const [name, { value, format }] of step.outputs) {
    const rendered = renderTemplate(value, stepVariables({ ...facts, outputs }));
    const field = `outputs.${name}.value`;
    if (rendered.problem) return { problem: { field, message: rendered.problem.message } };
    const parsed = parseStepOutput(rendered.text, format);
    if (parsed.problem !== undefined) return { problem: { field, message: parsed.problem } };
    outputs.set(name, parsed.value);
  }
  return { outputs };
}
