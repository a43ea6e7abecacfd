import { closestWord } from "@airlock/job";
import { toByteText } from "./byte-text.ts";
import { characterCode, parseNumber, unquote } from "./constants.ts";
import { lex, type Token, type TokenType } from "./lex.ts";
import type { Branch, Command, Node, Operand, Pipe, Template } from "./nodes.ts";
import { TemplateFailure } from "./template-failure.ts";

/** Longest template, in characters. */
const maximumLength = 1024 * 1024;
const maximumDepth = 100;
/** Variables are looked up one by one. */
const maximumVariables = 1_000;

/**
 * Parses a template. `functions` are the names of all functions, because Go refuses unknown ones before it executes
 * anything. Throws a `TemplateFailure`.
 */
export function parseTemplate(text: string, functions: ReadonlySet<string>): Template {
  if (text.length > maximumLength) {
    throw new TemplateFailure(`a template has at most ${maximumLength / 1024} Ki characters`);
  }
  return new Parser(text, functions).parse();
}

interface NodeList {
  readonly nodes: readonly Node[];
  /** What ended the list. After `else`, an `if` or `with` may follow at once. */
  readonly end: "end" | "else";
}

class Parser {
  private readonly text: string;
  private readonly tokens: readonly Token[];
  private readonly functions: ReadonlySet<string>;
  private readonly definitions = new Map<string, readonly Node[]>();
  private index = 0;
  private variables: string[] = ["$"];
  private ranges = 0;
  private depth = 0;

  constructor(text: string, functions: ReadonlySet<string>) {
    this.text = text;
    this.tokens = lex(text);
    this.functions = functions;
  }

  parse(): Template {
    const root: Node[] = [];
    while (this.peek().type !== "end of text") {
      const token = this.next();
      if (token.type === "text") root.push({ kind: "text", at: token.at, bytes: toByteText(token.text) });
      else if (this.isKeyword("define")) this.parseDefinition();
      else {
        const node = this.parseAction();
        if (node === "end" || node === "else") throw new TemplateFailure(`unexpected \`${node}\``, token.at);
        root.push(node);
      }
    }
    return { text: this.text, root, definitions: this.definitions };
  }

  private parseDefinition(): void {
    const { at } = this.nextNonSpace();
    const name = this.parseName("define");
    this.expect("right", "after the name of a definition");
    this.define(name, this.parseApart(), at);
  }

  /** Parses a list that ends with `end` and sees no variables from outside. */
  private parseApart(): readonly Node[] {
    const { variables, ranges } = this;
    this.variables = ["$"];
    this.ranges = 0;
    const { at } = this.peek();
    const list = this.parseList();
    if (list.end !== "end") throw new TemplateFailure("unexpected `else` in a definition", at);
    this.variables = variables;
    this.ranges = ranges;
    return list.nodes;
  }

  private define(name: string, nodes: readonly Node[], at: number): void {
    const known = this.definitions.get(name);
    if (known !== undefined && !isBlank(known)) {
      if (!isBlank(nodes)) throw new TemplateFailure(`the template ${JSON.stringify(name)} is defined twice`, at);
      return;
    }
    this.definitions.set(name, nodes);
  }

  private parseList(): NodeList {
    const start = this.peek().at;
    this.enter(start);
    const nodes: Node[] = [];
    for (;;) {
      const token = this.next();
      if (token.type === "end of text") throw new TemplateFailure("`${{ end }}` is missing", start);
      if (token.type === "text") {
        nodes.push({ kind: "text", at: token.at, bytes: toByteText(token.text) });
        continue;
      }
      const node = this.parseAction();
      if (node === "end" || node === "else") {
        this.depth -= 1;
        return { nodes, end: node };
      }
      nodes.push(node);
    }
  }

  /** Parses what follows `${{`. */
  private parseAction(): Node | "end" | "else" {
    const token = this.peekNonSpace();
    if (token.type !== "keyword") return { kind: "action", at: token.at, pipe: this.parsePipe("right", "action") };
    this.nextNonSpace();
    switch (token.text) {
      case "if":
      case "with":
      case "range":
        return { kind: token.text, at: token.at, ...this.parseBranch(token.text, token.at) };
      case "end":
        this.expect("right", "after `end`");
        return "end";
      case "else":
        if (!this.isKeyword("if") && !this.isKeyword("with")) this.expect("right", "after `else`");
        return "else";
      case "break":
      case "continue":
        this.expect("right", `after \`${token.text}\``);
        if (this.ranges === 0) throw new TemplateFailure(`\`${token.text}\` outside of \`range\``, token.at);
        return { kind: token.text, at: token.at };
      case "template": {
        const name = this.parseName("template");
        if (this.peekNonSpace().type === "right") {
          this.nextNonSpace();
          return { kind: "template", at: token.at, name, pipe: undefined };
        }
        return { kind: "template", at: token.at, name, pipe: this.parsePipe("right", "template") };
      }
      case "block": {
        const name = this.parseName("block");
        const pipe = this.parsePipe("right", "block");
        this.define(name, this.parseApart(), token.at);
        return { kind: "template", at: token.at, name, pipe };
      }
      default:
        throw new TemplateFailure(`unexpected \`${token.text}\``, token.at);
    }
  }

  private parseBranch(kind: "if" | "with" | "range", at: number): Branch {
    const visible = this.variables.length;
    const pipe = this.parsePipe("right", kind);
    if (kind === "range") this.ranges += 1;
    const body = this.parseList();
    if (kind === "range") this.ranges -= 1;
    const otherwise = body.end === "end" ? undefined : this.parseOtherwise(kind, at);
    this.variables.length = visible;
    return { pipe, body: body.nodes, otherwise };
  }

  private parseOtherwise(kind: "if" | "with" | "range", at: number): readonly Node[] {
    if (kind !== "range" && this.isKeyword(kind)) {
      // `else if` stands for an `if` inside of the `else`, and both end with the same `end`.
      const token = this.nextNonSpace();
      this.enter(token.at);
      const node: Node = { kind, at: token.at, ...this.parseBranch(kind, token.at) };
      this.depth -= 1;
      return [node];
    }
    if (this.isKeyword("if") || this.isKeyword("with")) {
      throw new TemplateFailure(`\`else ${this.peekNonSpace().text}\` does not fit to \`${kind}\``, at);
    }
    const list = this.parseList();
    if (list.end !== "end") throw new TemplateFailure(`this \`${kind}\` has two \`else\``, at);
    return list.nodes;
  }

  private parsePipe(end: "right" | "close", context: string): Pipe {
    const { at } = this.peekNonSpace();
    const variables: string[] = [];
    let assigns = false;
    for (;;) {
      const token = this.peekNonSpace();
      if (token.type !== "variable") break;
      const before = this.index;
      this.nextNonSpace();
      const following = this.peekNonSpace();
      if (following.type === "assign" || following.type === "declare") {
        this.nextNonSpace();
        assigns = following.type === "assign";
        variables.push(token.text);
        this.declareVariable(token);
        break;
      }
      if (following.type === "char" && following.text === ",") {
        this.nextNonSpace();
        variables.push(token.text);
        this.declareVariable(token);
        const more = this.peekNonSpace();
        if (context !== "range" || variables.length > 1) throw new TemplateFailure("too many variables", token.at);
        if (more.type !== "variable") throw new TemplateFailure("`range` declares only variables", more.at);
        continue;
      }
      this.index = before;
      if (variables.length > 0) throw new TemplateFailure("`:=` is missing", following.at);
      break;
    }
    const commands: Command[] = [];
    for (;;) {
      const token = this.peekNonSpace();
      if (token.type === end) break;
      if (!startsOperand(token.type)) throw unexpected(token, context);
      commands.push(this.parseCommand());
    }
    this.nextNonSpace();
    const [first, ...others] = commands;
    if (first === undefined) throw new TemplateFailure(`a value is missing in this ${context}`, at);
    for (const { operands, at: start } of others) {
      const { kind } = operands[0];
      if (kind === "constant" || kind === "nil" || kind === "dot") {
        throw new TemplateFailure("only a function can follow `|`", start);
      }
    }
    return { at, assigns, variables, commands };
  }

  private declareVariable({ text, at }: Token): void {
    if (this.variables.length === maximumVariables) {
      throw new TemplateFailure(`a template has at most ${maximumVariables} variables`, at);
    }
    this.variables.push(text);
  }

  private parseCommand(): Command {
    const { at } = this.peekNonSpace();
    const operands: Operand[] = [];
    for (;;) {
      this.peekNonSpace();
      const operand = this.parseOperand();
      if (operand) operands.push(operand);
      const token = this.next();
      if (token.type === "space") continue;
      if (token.type === "right" || token.type === "close") this.index -= 1;
      else if (token.type !== "pipe") throw unexpected(token, "operand");
      break;
    }
    const [first, ...rest] = operands;
    if (first === undefined) throw new TemplateFailure("a command is missing", at);
    return { at, operands: [first, ...rest] };
  }

  private parseOperand(): Operand | undefined {
    const operand = this.parseTerm();
    if (!operand || this.peek().type !== "field") return operand;
    const fields: string[] = [];
    while (this.peek().type === "field") fields.push(toByteText(this.next().text.slice(1)));
    if (operand.kind === "field" || operand.kind === "variable") {
      return { ...operand, fields: [...operand.fields, ...fields] };
    }
    if (operand.kind === "constant" || operand.kind === "nil" || operand.kind === "dot") {
      throw new TemplateFailure("a constant has no fields", operand.at);
    }
    return { kind: "chain", at: operand.at, operand, fields };
  }

  private parseTerm(): Operand | undefined {
    const token = this.nextNonSpace();
    const { at, text } = token;
    switch (token.type) {
      case "identifier":
        if (!this.functions.has(text)) throw unknownFunction(text, this.functions, at);
        return { kind: "function", at, name: text };
      case "dot":
        return { kind: "dot", at };
      case "nil":
        return { kind: "nil", at };
      case "variable":
        if (!this.variables.includes(text)) throw new TemplateFailure(`unknown variable ${text}`, at);
        return { kind: "variable", at, name: text, fields: [] };
      case "field":
        return { kind: "field", at, fields: [toByteText(text.slice(1))] };
      case "bool":
        return { kind: "constant", at, value: text === "true" };
      case "number":
        return { kind: "constant", at, value: parseNumber(text, at) };
      case "character":
        return { kind: "constant", at, value: characterCode(text, at) };
      case "string":
      case "raw string":
        return { kind: "constant", at, value: unquote(text, at) };
      case "open": {
        this.enter(at);
        const pipe = this.parsePipe("close", "parenthesis");
        this.depth -= 1;
        return { kind: "pipe", at, pipe };
      }
      default:
        this.index -= 1;
        return undefined;
    }
  }

  private parseName(context: string): string {
    const token = this.nextNonSpace();
    if (token.type !== "string" && token.type !== "raw string") throw unexpected(token, context);
    return unquote(token.text, token.at);
  }

  private enter(at: number): void {
    this.depth += 1;
    if (this.depth > maximumDepth) throw new TemplateFailure("nested too deeply", at);
  }

  private expect(type: TokenType, where: string): void {
    const token = this.nextNonSpace();
    if (token.type !== type) throw unexpected(token, where);
  }

  private isKeyword(text: string): boolean {
    const token = this.peekNonSpace();
    return token.type === "keyword" && token.text === text;
  }

  private peek(): Token {
    const token = this.tokens[Math.min(this.index, this.tokens.length - 1)];
    if (!token) throw new TemplateFailure("unexpected end of the template");
    return token;
  }

  private next(): Token {
    const token = this.peek();
    this.index += 1;
    return token;
  }

  /** Skips spaces for good. */
  private peekNonSpace(): Token {
    while (this.peek().type === "space") this.index += 1;
    return this.peek();
  }

  private nextNonSpace(): Token {
    this.peekNonSpace();
    return this.next();
  }
}

function startsOperand(type: TokenType): boolean {
  switch (type) {
    case "bool":
    case "character":
    case "dot":
    case "field":
    case "identifier":
    case "number":
    case "nil":
    case "raw string":
    case "string":
    case "variable":
    case "open":
      return true;
    default:
      return false;
  }
}

function isBlank(nodes: readonly Node[]): boolean {
  return nodes.every((node) => node.kind === "text" && node.bytes.trim() === "");
}

function unexpected(token: Token, context: string): TemplateFailure {
  const shown = token.text === "" ? token.type : `\`${token.text.slice(0, 40)}\``;
  return new TemplateFailure(`unexpected ${shown} (${context})`, token.at);
}

function unknownFunction(name: string, functions: ReadonlySet<string>, at: number): TemplateFailure {
  const meant = closestWord(name, [...functions]);
  const suggestion = meant === undefined ? "" : `; did you mean "${meant}"?`;
  return new TemplateFailure(`unknown variable or function "${name.slice(0, 60)}"${suggestion}`, at);
}
