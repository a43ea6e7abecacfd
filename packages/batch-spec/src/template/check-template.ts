import { closestWord } from "@airlock/job";
import type { Node, Operand, Pipe } from "./nodes.ts";
import { parseTemplate } from "./parse-template.ts";
import { functionNames } from "./render-template.ts";
import { describeFailure, TemplateFailure, type TemplateProblem } from "./template-failure.ts";

/** Names of variables with the names of their fields. `undefined` stands for fields of any name. */
export type VariableFields = Readonly<Record<string, readonly string[] | undefined>>;

/** Checks a template without executing it: its syntax, and the names of functions, variables and their fields. */
export function checkTemplate(text: string, variables: VariableFields): TemplateProblem | undefined {
  try {
    const template = parseTemplate(text, new Set([...functionNames, ...Object.keys(variables)]));
    for (const nodes of [template.root, ...template.definitions.values()]) checkNodes(nodes, variables);
    return undefined;
  } catch (error) {
    if (error instanceof TemplateFailure) return describeFailure(error, text);
    throw error;
  }
}

function checkNodes(nodes: readonly Node[], variables: VariableFields): void {
  for (const node of nodes) {
    if ("pipe" in node && node.pipe) checkPipe(node.pipe, variables);
    if ("body" in node) {
      checkNodes(node.body, variables);
      checkNodes(node.otherwise ?? [], variables);
    }
  }
}

function checkPipe(pipe: Pipe, variables: VariableFields): void {
  for (const { operands } of pipe.commands) for (const operand of operands) checkOperand(operand, variables);
}

function checkOperand(operand: Operand, variables: VariableFields): void {
  if (operand.kind === "pipe") checkPipe(operand.pipe, variables);
  if (operand.kind !== "chain") return;
  if (operand.operand.kind !== "function") {
    checkOperand(operand.operand, variables);
    return;
  }
  const { name } = operand.operand;
  const [field = ""] = operand.fields;
  const known = Object.hasOwn(variables, name) ? variables[name] : undefined;
  if (known === undefined || known.includes(field)) return;
  const meant = closestWord(field, known);
  const help = meant ? `; did you mean "${name}.${meant}"?` : known.length > 0 ? `; it has ${known.join(", ")}` : "";
  throw new TemplateFailure(`unknown variable "${name}.${field}"${help}`, operand.at);
}
