import { Budget, type TemplateLimits } from "./budget.ts";
import { fromByteText } from "./byte-text.ts";
import { printedValue } from "./format-value.ts";
import { type Parameter, templateFunctions } from "./functions.ts";
import type { Command, Node, Operand, Pipe, Template } from "./nodes.ts";
import { TemplateFailure } from "./template-failure.ts";
import { Dictionary, isTrue, List, typeName, type Value } from "./values.ts";

/** What `${{ break }}` and `${{ continue }}` leave. */
type Exit = "break" | "continue" | undefined;

interface Variable {
  readonly name: string;
  value: Value;
}

/** Stands for "no value comes from the pipeline". `null` would be a value. */
const nothing = Symbol("nothing");

/** Executes a template. `variables` are the names without a leading dot. Throws a `TemplateFailure`. */
export function executeTemplate(
  template: Template,
  variables: ReadonlyMap<string, Value>,
  limits: TemplateLimits,
): string {
  const execution = new Execution(template, variables, new Budget(limits));
  execution.walk(template.root, null);
  return fromByteText(execution.output());
}

class Execution {
  private readonly template: Template;
  private readonly globals: ReadonlyMap<string, Value>;
  private readonly budget: Budget;
  private readonly parts: string[] = [];
  private length = 0;
  private stack: Variable[] = [{ name: "$", value: null }];

  constructor(template: Template, globals: ReadonlyMap<string, Value>, budget: Budget) {
    this.template = template;
    this.globals = globals;
    this.budget = budget;
  }

  output(): string {
    return this.parts.join("");
  }

  walk(nodes: readonly Node[], dot: Value): Exit {
    for (const node of nodes) {
      this.budget.spend(1);
      this.budget.enter(node.at);
      const exit = this.walkNode(node, dot);
      this.budget.leave();
      if (exit) return exit;
    }
    return undefined;
  }

  private walkNode(node: Node, dot: Value): Exit {
    switch (node.kind) {
      case "text":
        this.write(node.bytes);
        return undefined;
      case "action": {
        const value = this.pipe(node.pipe, dot);
        if (node.pipe.variables.length === 0) this.write(printedValue(value, this.budget));
        return undefined;
      }
      case "if":
      case "with": {
        const visible = this.stack.length;
        const value = this.pipe(node.pipe, dot);
        const inner = node.kind === "with" ? value : dot;
        const exit = isTrue(value) ? this.walk(node.body, inner) : node.otherwise && this.walk(node.otherwise, dot);
        this.stack.length = visible;
        return exit;
      }
      case "range":
        return this.range(node, dot);
      case "template":
        this.callTemplate(node, dot);
        return undefined;
      default:
        return node.kind;
    }
  }

  private write(bytes: string): void {
    this.length += bytes.length;
    this.budget.makeText(bytes.length, this.length);
    this.parts.push(bytes);
  }

  private range(node: Extract<Node, { kind: "range" | "if" | "with" }>, dot: Value): Exit {
    const visible = this.stack.length;
    const value = this.pipe(node.pipe, dot);
    const declared = this.stack.length;
    let count = 0;
    let exit: Exit;
    for (const [key, item] of this.iterate(value, node)) {
      this.budget.spend(1);
      count += 1;
      this.setRangeVariables(node.pipe, key, item);
      exit = this.walk(node.body, item);
      this.stack.length = declared;
      if (exit === "break") break;
    }
    this.stack.length = visible;
    if (count === 0 && node.otherwise) return this.walk(node.otherwise, dot);
    return undefined;
  }

  private *iterate(value: Value, node: Extract<Node, { kind: "range" | "if" | "with" }>): Generator<[Value, Value]> {
    if (typeof value === "bigint") {
      if (node.pipe.variables.length > 1) {
        throw new TemplateFailure("`range` over a number declares at most one variable", node.at);
      }
      for (let index = 0n; index < value; index++) yield [null, index];
    } else if (value instanceof List) {
      for (const [index, item] of value.items.entries()) yield [BigInt(index), item];
    } else if (value instanceof Dictionary) {
      for (const key of value.sortedKeys()) yield [key, value.entries.get(key) ?? null];
    } else if (value !== null) {
      throw new TemplateFailure(`\`range\` can't iterate over a value of type ${typeName(value)}`, node.at);
    }
  }

  private setRangeVariables({ variables, assigns }: Pipe, key: Value, item: Value): void {
    const values = variables.length > 1 ? [key, item] : [item];
    for (const [index, name] of variables.entries()) {
      const value = values[index] ?? null;
      const declared = this.stack[this.stack.length - variables.length + index];
      if (assigns) this.assign(name, value);
      else if (declared) declared.value = value;
    }
  }

  private callTemplate(node: Extract<Node, { kind: "template" }>, dot: Value): void {
    const body = this.template.definitions.get(node.name);
    if (!body)
      throw new TemplateFailure(`the template ${JSON.stringify(fromByteText(node.name))} is not defined`, node.at);
    const value = node.pipe ? this.pipe(node.pipe, dot) : null;
    const { stack } = this;
    this.stack = [{ name: "$", value }];
    this.walk(body, value);
    this.stack = stack;
  }

  private pipe(pipe: Pipe, dot: Value): Value {
    this.budget.enter(pipe.at);
    let value: Value | typeof nothing = nothing;
    for (const command of pipe.commands) value = this.command(command, dot, value);
    const result = value === nothing ? null : value;
    for (const name of pipe.variables) {
      if (pipe.assigns) this.assign(name, result);
      else this.stack.push({ name, value: result });
    }
    this.budget.leave();
    return result;
  }

  private assign(name: string, value: Value): void {
    const variable = this.stack.findLast((one) => one.name === name);
    if (!variable) throw new TemplateFailure(`unknown variable ${name}: \`=\` sets, \`:=\` declares`);
    variable.value = value;
  }

  private command({ operands }: Command, dot: Value, final: Value | typeof nothing): Value {
    const [first, ...rest] = operands;
    if (first.kind === "function") return this.call(first, rest, dot, final);
    const hasArguments = rest.length > 0 || final !== nothing;
    if (first.kind === "nil") throw new TemplateFailure("nil alone is not a command", first.at);
    if (hasArguments) throw new TemplateFailure("only a function takes arguments", first.at);
    return this.operand(first, dot);
  }

  private operand(operand: Operand, dot: Value): Value {
    this.budget.spend(1);
    switch (operand.kind) {
      case "constant":
        return operand.value;
      case "nil":
        return null;
      case "dot":
        return dot;
      case "function":
        return this.call(operand, [], dot, nothing);
      case "variable": {
        const variable = this.stack.findLast(({ name }) => name === operand.name);
        return this.fields(variable?.value ?? null, operand.fields, operand.at);
      }
      case "field":
        return this.fields(dot, operand.fields, operand.at);
      case "chain":
        if (operand.operand.kind === "nil") throw new TemplateFailure("nil has no fields", operand.at);
        return this.fields(this.operand(operand.operand, dot), operand.fields, operand.at);
      default:
        return this.pipe(operand.pipe, dot);
    }
  }

  private fields(start: Value, names: readonly string[], at: number): Value {
    return names.reduce<Value>((value, name) => {
      const shown = JSON.stringify(fromByteText(name));
      if (value instanceof Dictionary) {
        const found = value.entries.get(name);
        if (found !== undefined) return found;
        const known = value.sortedKeys().slice(0, 20).map(fromByteText).join(", ");
        throw new TemplateFailure(`there is no entry ${shown}${known ? `; known here: ${known}` : ""}`, at);
      }
      throw new TemplateFailure(`a value of type ${typeName(value)} has no field ${shown}`, at);
    }, start);
  }

  private call(
    { name, at }: Extract<Operand, { kind: "function" }>,
    operands: readonly Operand[],
    dot: Value,
    final: Value | typeof nothing,
  ): Value {
    this.budget.spend(1);
    const global = this.globals.get(name);
    if (global !== undefined) {
      if (operands.length > 0 || final !== nothing) throw new TemplateFailure(`${name} takes no arguments`, at);
      return global;
    }
    if (name === "and" || name === "or") return this.logic(name, at, operands, dot, final);
    const definition = templateFunctions.get(name);
    if (!definition) throw new TemplateFailure(`unknown variable or function "${name}"`, at);
    const { parameters, rest } = definition;
    const count = operands.length + (final === nothing ? 0 : 1);
    if (count < parameters.length || (rest === undefined && count > parameters.length)) {
      const least = rest === undefined ? "" : "at least ";
      throw new TemplateFailure(`${name} takes ${least}${parameters.length} arguments, not ${count}`, at);
    }
    const values = operands.map((operand, index) =>
      checkType(this.operand(operand, dot), parameters[index] ?? rest ?? "any", name, operand.at),
    );
    if (final !== nothing) values.push(checkType(final, parameters[values.length] ?? rest ?? "any", name, at));
    try {
      return definition.call(values, this.budget);
    } catch (error) {
      if (error instanceof TemplateFailure && error.at === undefined) {
        throw new TemplateFailure(error.message, at);
      }
      throw error;
    }
  }

  /** `and` and `or` evaluate arguments only as far as needed, and return the argument that decides. */
  private logic(
    name: "and" | "or",
    at: number,
    operands: readonly Operand[],
    dot: Value,
    final: Value | typeof nothing,
  ): Value {
    if (operands.length === 0 && final === nothing) throw new TemplateFailure(`${name} takes at least 1 argument`, at);
    let value: Value = null;
    for (const operand of operands) {
      value = this.operand(operand, dot);
      if (isTrue(value) === (name === "or")) return value;
    }
    return final === nothing ? value : final;
  }
}

function checkType(value: Value, parameter: Parameter, name: string, at: number): Value {
  if (parameter === "any") return value;
  if (parameter === "string" && typeof value === "string") return value;
  const isStrings = value === null || (value instanceof List && value.element === "string");
  if (parameter === "strings" && isStrings) return value;
  const wanted = parameter === "string" ? "text" : "a list of text";
  throw new TemplateFailure(`${name}: ${wanted} is expected, not a value of type ${typeName(value)}`, at);
}
