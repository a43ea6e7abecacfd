import { defaultTemplateLimits } from "./budget.ts";
import { toByteText } from "./byte-text.ts";
import { executeTemplate } from "./execute-template.ts";
import type { Node, Operand, Pipe } from "./nodes.ts";
import { parseTemplate } from "./parse-template.ts";
import { functionNames } from "./render-template.ts";
import { TemplateFailure } from "./template-failure.ts";
import { stepVariableFields } from "./template-variables.ts";
import { dictionary } from "./values.ts";

/** What is known of a workspace before its steps run. */
export interface StaticFacts {
  readonly repository: { readonly name: string };
  readonly batchChange: { readonly name: string; readonly description: string };
}

/** The functions of which the result is known in advance, and how many arguments they then have. */
const staticFunctions: Readonly<Record<string, number | undefined>> = {
  eq: 2,
  ne: 2,
  not: 1,
  join: undefined,
  split: undefined,
  replace: undefined,
  join_if: undefined,
  matches: undefined,
};

const staticFields: Readonly<Record<string, readonly string[]>> = {
  repository: ["name"],
  batch_change: ["name", "description"],
};

const stepNames: ReadonlySet<string> = new Set([...functionNames, ...Object.keys(stepVariableFields)]);

/**
 * Renders a step's template before the steps run. `undefined` means that the result depends on the execution, or that
 * the template is faulty: then its execution reports the fault.
 */
export function evaluateStatically(text: string, facts: StaticFacts): string | undefined {
  try {
    const template = parseTemplate(text, stepNames);
    if (!template.root.every(isStaticNode)) return undefined;
    const variables = new Map([
      ["repository", dictionary({ name: toByteText(facts.repository.name) })],
      [
        "batch_change",
        dictionary({
          name: toByteText(facts.batchChange.name),
          description: toByteText(facts.batchChange.description),
        }),
      ],
    ]);
    return executeTemplate(template, variables, defaultTemplateLimits);
  } catch (error) {
    if (error instanceof TemplateFailure) return undefined;
    throw error;
  }
}

/** Whether a condition is known in advance, and its value. */
export function evaluateCondition(condition: boolean | string | undefined, facts: StaticFacts): boolean | undefined {
  if (condition === undefined || condition === "") return true;
  if (typeof condition === "boolean") return condition;
  const text = evaluateStatically(condition, facts);
  return text === undefined ? undefined : text.trim() === "true";
}

function isStaticNode(node: Node): boolean {
  return node.kind === "text" || (node.kind === "action" && isStaticPipe(node.pipe));
}

function isStaticPipe({ variables, commands }: Pipe): boolean {
  return (
    variables.length === 0 &&
    commands.every(({ operands: [first, ...rest] }, index) => {
      if (first.kind !== "function") return rest.length === 0 && isStaticOperand(first);
      if (!Object.hasOwn(staticFunctions, first.name)) return false;
      const count = rest.length + (index > 0 ? 1 : 0);
      return (staticFunctions[first.name] ?? count) === count && rest.every(isStaticOperand);
    })
  );
}

function isStaticOperand(operand: Operand): boolean {
  if (operand.kind === "constant") return true;
  if (operand.kind === "pipe") return isStaticPipe(operand.pipe);
  if (operand.kind !== "chain" || operand.operand.kind !== "function") return false;
  const [field, ...deeper] = operand.fields;
  return deeper.length === 0 && (staticFields[operand.operand.name]?.includes(field ?? "") ?? false);
}
