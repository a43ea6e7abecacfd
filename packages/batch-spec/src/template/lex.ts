import { TemplateFailure } from "./template-failure.ts";

export type TokenType =
  | "assign"
  | "bool"
  | "char"
  | "character"
  | "declare"
  | "dot"
  | "end of text"
  | "field"
  | "identifier"
  | "keyword"
  | "left"
  | "nil"
  | "number"
  | "open"
  | "pipe"
  | "close"
  | "raw string"
  | "right"
  | "space"
  | "string"
  | "text"
  | "variable";

export interface Token {
  readonly type: TokenType;
  readonly text: string;
  /** Offset in the template. */
  readonly at: number;
}

const leftDelimiter = "${{";
const rightDelimiter = "}}";
const keywords = new Set(["block", "break", "continue", "define", "else", "end", "if", "range", "template", "with"]);
const spaces = " \t\r\n";
const word = /[\p{L}\p{Nd}_]*/uy;
const number =
  /[+-]?(?:0[xX][\da-fA-F_]*(?:\.[\da-fA-F_]*)?(?:[pP][+-]?[\d_]*)?|0[oO][0-7_]*(?:\.[0-7_]*)?|0[bB][01_]*(?:\.[01_]*)?|[\d_]*(?:\.[\d_]*)?(?:[eE][+-]?[\d_]*)?)/y;
const quoted = /"(?:[^"\\\n]|\\[^\n])*"/y;
const character = /'(?:[^'\\\n]|\\[^\n])*'/y;

/** Splits a template into texts and the tokens of its actions. */
export function lex(template: string): readonly Token[] {
  const tokens: Token[] = [];
  let at = 0;
  while (at < template.length) {
    const found = template.indexOf(leftDelimiter, at);
    const end = found < 0 ? template.length : found;
    const trims = found >= 0 && hasLeftMarker(template, found + leftDelimiter.length);
    const text = trims ? trimEnd(template.slice(at, end)) : template.slice(at, end);
    if (text) tokens.push({ type: "text", text, at });
    if (found < 0) break;
    const start = found + leftDelimiter.length + (trims ? 1 : 0);
    const isComment = template.startsWith("/*", trims ? start + 1 : start);
    at = isComment ? skipComment(template, trims ? start + 1 : start) : lexAction(template, found, start, tokens);
  }
  tokens.push({ type: "end of text", text: "", at: template.length });
  return tokens;
}

function hasLeftMarker(template: string, at: number): boolean {
  return template[at] === "-" && isSpace(template[at + 1]);
}

/** Length of the right delimiter with its trim marker, or 0 if it is not here. */
function rightLength(template: string, at: number): number {
  if (template.startsWith(rightDelimiter, at)) return rightDelimiter.length;
  const marked = isSpace(template[at]) && template[at + 1] === "-" && template.startsWith(rightDelimiter, at + 2);
  return marked ? rightDelimiter.length + 2 : 0;
}

/** Offset after a right delimiter of this length, and after the spaces that a trim marker removes. */
function afterRight(template: string, at: number, length: number): number {
  let next = at + length;
  if (length > rightDelimiter.length) while (isSpace(template[next])) next += 1;
  return next;
}

function skipComment(template: string, start: number): number {
  const end = template.indexOf("*/", start + 2);
  if (end < 0) throw new TemplateFailure("this comment is not closed", start);
  const length = rightLength(template, end + 2);
  if (length === 0) throw new TemplateFailure("a comment must end directly before `}}`", end);
  return afterRight(template, end + 2, length);
}

/** Appends the tokens of one action and returns the offset after it. */
function lexAction(template: string, left: number, start: number, tokens: Token[]): number {
  tokens.push({ type: "left", text: leftDelimiter, at: left });
  let at = start;
  let open = 0;
  const push = (type: TokenType, length: number) => {
    tokens.push({ type, text: template.slice(at, at + length), at });
    at += length;
  };
  for (;;) {
    const length = rightLength(template, at);
    if (length > 0) {
      if (open > 0) throw new TemplateFailure("this action has an unclosed `(`", left);
      tokens.push({ type: "right", text: rightDelimiter, at });
      return afterRight(template, at, length);
    }
    const next = template[at];
    if (next === undefined) throw new TemplateFailure("this action is not closed: `}}` is missing", left);
    if (isSpace(next)) {
      let count = 1;
      while (isSpace(template[at + count]) && rightLength(template, at + count) === 0) count += 1;
      push("space", count);
    } else if (next === "=") push("assign", 1);
    else if (template.startsWith(":=", at)) push("declare", 2);
    else if (next === "|") push("pipe", 1);
    else if (next === "(") {
      open += 1;
      push("open", 1);
    } else if (next === ")") {
      open -= 1;
      if (open < 0) throw new TemplateFailure("unexpected `)`", at);
      push("close", 1);
    } else if (next === '"') push("string", matched(quoted, template, at) ?? unclosed("string", at));
    else if (next === "'") push("character", matched(character, template, at) ?? unclosed("character", at));
    else if (next === "`") {
      const end = template.indexOf("`", at + 1);
      push("raw string", end < 0 ? unclosed("raw string", at) : end + 1 - at);
    } else if (next === "$") push("variable", 1 + wordLength(template, at + 1));
    else if (next === "." && !isDigit(template[at + 1])) {
      const letters = wordLength(template, at + 1);
      push(letters === 0 ? "dot" : "field", 1 + letters);
    } else if (next === "." || next === "+" || next === "-" || isDigit(next)) {
      const digits = matched(number, template, at) ?? 0;
      if (digits === 0 || template[at + digits] === "i" || (matched(word, template, at + digits) ?? 0) > 0) {
        throw new TemplateFailure("this is not a number", at);
      }
      push("number", digits);
    } else {
      const letters = wordLength(template, at);
      if (letters > 0) push(wordType(template.slice(at, at + letters)), letters);
      else if (/[!-~]/.test(next)) push("char", 1);
      else throw new TemplateFailure(`unexpected character ${JSON.stringify(next)}`, at);
    }
  }
}

function unclosed(what: string, at: number): never {
  throw new TemplateFailure(`this ${what} is not closed`, at);
}

function wordType(text: string): TokenType {
  if (text === "true" || text === "false") return "bool";
  if (text === "nil") return "nil";
  return keywords.has(text) ? "keyword" : "identifier";
}

/** Length of the word at an offset. Only some characters may follow a word. */
function wordLength(template: string, at: number): number {
  const length = matched(word, template, at) ?? 0;
  const next = template[at + length];
  const ends = next === undefined || isSpace(next) || ".,|:)(".includes(next) || rightLength(template, at + length) > 0;
  if (length > 0 && !ends) throw new TemplateFailure(`unexpected character ${JSON.stringify(next)}`, at + length);
  return length;
}

function matched(expression: RegExp, text: string, at: number): number | undefined {
  expression.lastIndex = at;
  return expression.exec(text)?.[0].length;
}

function isSpace(character: string | undefined): boolean {
  return character !== undefined && character !== "" && spaces.includes(character);
}

function isDigit(character: string | undefined): boolean {
  return character !== undefined && character >= "0" && character <= "9";
}

function trimEnd(text: string): string {
  let end = text.length;
  while (end > 0 && isSpace(text[end - 1])) end -= 1;
  return text.slice(0, end);
}
