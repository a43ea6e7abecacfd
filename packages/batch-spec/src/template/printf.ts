import type { Budget } from "./budget.ts";
import { runesOf, toByteText } from "./byte-text.ts";
import { formatValue, quote } from "./format-value.ts";
import { formatFloat } from "./numbers.ts";
import { TemplateFailure } from "./template-failure.ts";
import { Dictionary, List, typeName, type Value } from "./values.ts";

interface Flags {
  readonly plus: boolean;
  readonly minus: boolean;
  readonly sharp: boolean;
  readonly space: boolean;
  readonly zero: boolean;
  readonly width: number | undefined;
  readonly precision: number | undefined;
}

const noFlags: Flags = {
  plus: false,
  minus: false,
  sharp: false,
  space: false,
  zero: false,
  width: undefined,
  precision: undefined,
};

/** Larger widths and precisions make no sense, and cost time. Go's own limit is 1e6. */
const maximumWidth = 10_000;

/** Go's `printf`. Faults of the format appear in the result, as in Go: `%!d(string=x)`. */
export function printf(format: string, values: readonly Value[], budget: Budget): string {
  const parts: string[] = [];
  let used = 0;
  let end = 0;
  const directive = /%([-+# 0]*)(\*|\d+)?(?:(\.)(\*|\d+)?)?(.)?/gs;
  const number = (text: string | undefined): number | undefined => {
    if (text === undefined) return undefined;
    const value = text === "*" ? Number(values[used++] ?? Number.NaN) : Number(text);
    if (!Number.isInteger(value) || Math.abs(value) > maximumWidth) {
      throw new TemplateFailure(`printf: widths and precisions are numbers up to ${maximumWidth}`);
    }
    return value;
  };
  for (const match of format.matchAll(directive)) {
    const [whole, flags = "", width, point, precision] = match;
    let verb = match[5];
    parts.push(format.slice(end, match.index));
    end = match.index + whole.length;
    if (verb === undefined) {
      parts.push("%!(NOVERB)");
      break;
    }
    if (verb === "[") throw new TemplateFailure("printf: argument indexes (`%[1]s`) are not supported");
    if (verb.charCodeAt(0) >= 0x80) {
      const [rune] = runesOf(format.slice(end - 1));
      verb = rune?.bytes ?? verb;
      end += verb.length - 1;
    }
    const wide = number(width);
    const minus = flags.includes("-") || (wide ?? 0) < 0;
    const parsed: Flags = {
      // `%+v` names the fields of structs, which templates don't have.
      plus: flags.includes("+") && verb !== "v",
      minus,
      sharp: flags.includes("#"),
      space: flags.includes(" "),
      zero: flags.includes("0") && !minus,
      width: wide === undefined ? undefined : Math.abs(wide),
      precision: point === undefined ? undefined : (number(precision) ?? 0),
    };
    if (verb === "%") parts.push("%");
    else if (used >= values.length) parts.push(`%!${verb}(MISSING)`);
    else parts.push(formatVerb(values[used++] ?? null, verb, parsed, budget));
    budget.makeText((parts.at(-1) ?? "").length);
  }
  parts.push(format.slice(end));
  if (used < values.length) {
    const extra = values
      .slice(used)
      .map((value) => (value === null ? "<nil>" : `${typeName(value)}=${formatValue(value, budget)}`));
    parts.push(`%!(EXTRA ${extra.join(", ")})`);
  }
  budget.makeText(parts.reduce((sum, part) => sum + part.length, 0));
  return parts.join("");
}

function formatVerb(value: Value, verb: string, flags: Flags, budget: Budget): string {
  budget.spend(1);
  if (verb === "T") return pad(typeName(value), flags);
  if (verb === "p") throw new TemplateFailure("printf: %p is not supported");
  if (value === null) return verb === "v" ? pad("<nil>", flags) : `%!${verb}(<nil>)`;
  if (verb === "v" && flags.sharp) return goSyntax(value, flags, budget);
  if (value instanceof List) {
    if (value.printsBare && "vsqxX".includes(verb))
      return formatString(formatValue(value, budget), verb, flags, budget);
    if (value.items.length * (flags.width ?? 1) > maximumWidth * 100) throw new TemplateFailure("printf: too long");
    return `[${value.items.map((item) => formatItem(item, verb, flags, budget)).join(" ")}]`;
  }
  if (value instanceof Dictionary) {
    const pairs = value.sortedKeys().map((key) => {
      const item = value.entries.get(key) ?? null;
      return `${formatVerb(key, verb, flags, budget)}:${formatItem(item, verb, flags, budget)}`;
    });
    return `map[${pairs.join(" ")}]`;
  }
  switch (typeof value) {
    case "string":
      return formatString(value, verb, flags, budget);
    case "bigint":
      return formatInteger(value, verb, flags, budget);
    case "number":
      return formatNumber(value, verb, flags, budget);
    default:
      return verb === "t" || verb === "v" ? pad(String(value), flags) : badVerb(value, verb, flags, budget);
  }
}

/** An element of a list or map. */
function formatItem(value: Value, verb: string, flags: Flags, budget: Budget): string {
  return value === null ? pad("<nil>", flags) : formatVerb(value, verb, flags, budget);
}

/** Go shows the value with the flags of the wrong verb. */
function badVerb(value: boolean | bigint | number | string, verb: string, flags: Flags, budget: Budget): string {
  const shown = formatVerb(value, "v", { ...flags, sharp: false }, budget);
  return `%!${verb}(${typeName(value)}=${shown})`;
}

function formatString(value: string, verb: string, flags: Flags, budget: Budget): string {
  budget.spend(value.length / 8);
  switch (verb) {
    case "v":
    case "s":
      return pad(truncate(value, flags), flags);
    case "q": {
      const text = truncate(value, flags);
      if (flags.sharp && canBackquote(text)) return pad(`\`${text}\``, flags);
      return pad(quote(text, '"', flags.plus), flags);
    }
    case "x":
    case "X": {
      const bytes = [...value.slice(0, flags.precision)].map((byte) =>
        byte.charCodeAt(0).toString(16).padStart(2, "0"),
      );
      const prefix = flags.sharp && bytes.length > 0 ? "0x" : "";
      const text = flags.space ? bytes.map((byte) => prefix + byte).join(" ") : prefix + bytes.join("");
      return pad(verb === "X" ? text.toUpperCase() : text, flags);
    }
    default:
      return badVerb(value, verb, flags, budget);
  }
}

function truncate(value: string, { precision }: Flags): string {
  if (precision === undefined) return value;
  let count = 0;
  let length = 0;
  for (const { bytes } of runesOf(value)) {
    if (count === precision) break;
    count += 1;
    length += bytes.length;
  }
  return value.slice(0, length);
}

function canBackquote(bytes: string): boolean {
  for (const { bytes: part, codePoint, valid } of runesOf(bytes)) {
    if (!valid || part === "`" || codePoint === 0xfeff || codePoint === 0x7f || (codePoint < 0x20 && part !== "\t")) {
      return false;
    }
  }
  return true;
}

const bases: Readonly<Record<string, number>> = { v: 10, d: 10, b: 2, o: 8, O: 8, x: 16, X: 16 };
const prefixes: Readonly<Record<string, string>> = { b: "0b", o: "0", x: "0x", X: "0X" };

function formatInteger(value: bigint, verb: string, flags: Flags, budget: Budget): string {
  if (verb === "c" || verb === "q" || verb === "U") return formatCharacter(value, verb, flags);
  const base = bases[verb];
  if (base === undefined) return badVerb(value, verb, flags, budget);
  let digits = (value < 0n ? -value : value).toString(base);
  if (verb === "X") digits = digits.toUpperCase();
  const sign = value < 0n ? "-" : flags.plus ? "+" : flags.space ? " " : "";
  if (flags.precision !== undefined) {
    if (flags.precision === 0 && value === 0n) return pad("", { ...flags, zero: false });
    digits = digits.padStart(flags.precision, "0");
  } else if (flags.zero && flags.width !== undefined) {
    digits = digits.padStart(flags.width - sign.length, "0");
  }
  let prefix = flags.sharp ? (prefixes[verb] ?? "") : "";
  if (verb === "o" && digits.startsWith("0")) prefix = "";
  if (verb === "O") prefix = "0o";
  return pad(sign + prefix + digits, { ...flags, zero: false });
}

function formatCharacter(value: bigint, verb: string, flags: Flags): string {
  const valid = value >= 0n && value <= 0x10ffffn && (value < 0xd800n || value > 0xdfffn);
  const codePoint = valid ? Number(value) : 0xfffd;
  if (verb === "U") {
    const text = `U+${(valid ? BigInt(codePoint) : BigInt.asUintN(64, value)).toString(16).toUpperCase().padStart(4, "0")}`;
    return pad(flags.sharp && valid ? `${text} '${toByteText(String.fromCodePoint(codePoint))}'` : text, {
      ...flags,
      zero: false,
    });
  }
  const character = toByteText(String.fromCodePoint(codePoint));
  return pad(verb === "q" ? quote(character, "'", flags.plus) : character, flags);
}

function formatNumber(value: number, verb: string, flags: Flags, budget: Budget): string {
  if ("xXb".includes(verb) || flags.sharp)
    throw new TemplateFailure(`printf: %${flags.sharp ? "#" : ""}${verb} of a float64 is not supported`);
  if (!"vgGeEfF".includes(verb)) return badVerb(value, verb, flags, budget);
  budget.spend(flags.precision ?? 0);
  const lower = verb === "v" ? "g" : (verb.toLowerCase() as "e" | "f" | "g");
  const precision = flags.precision ?? (lower === "g" ? undefined : 6);
  let text = formatFloat(value, lower, precision);
  if (verb === "E" || verb === "G") text = text.toUpperCase().replace("INF", "Inf").replace("NAN", "NaN");
  const negative = text.startsWith("-");
  const magnitude = text.replace(/^[-+]/, "");
  const finite = Number.isFinite(value);
  const sign = negative ? "-" : flags.plus || text.startsWith("+Inf") ? "+" : flags.space ? " " : "";
  const shownSign = text.startsWith("+Inf") && flags.space && !flags.plus ? " " : sign;
  if (flags.zero && flags.width !== undefined && finite) {
    return pad(shownSign + magnitude.padStart(flags.width - shownSign.length, "0"), { ...flags, zero: false });
  }
  return pad(shownSign + magnitude, finite ? flags : { ...flags, zero: false });
}

function pad(text: string, flags: Flags): string {
  if (flags.width === undefined) return text;
  let length = 0;
  for (const _ of runesOf(text)) length += 1;
  const missing = Math.max(0, flags.width - length);
  if (flags.minus) return text + " ".repeat(missing);
  return (flags.zero ? "0" : " ").repeat(missing) + text;
}

/** `%#v`: the value as Go's source. */
function goSyntax(value: Value, flags: Flags, budget: Budget): string {
  budget.spend(1);
  if (value === null) return "interface {}(nil)";
  const inner: Flags = { ...noFlags, width: flags.width };
  if (value instanceof List) {
    return `${typeName(value)}{${value.items.map((item) => goSyntax(item, flags, budget)).join(", ")}}`;
  }
  if (value instanceof Dictionary) {
    const pairs = value
      .sortedKeys()
      .map((key) => `${quote(key)}:${goSyntax(value.entries.get(key) ?? null, flags, budget)}`);
    return `${typeName(value)}{${pairs.join(", ")}}`;
  }
  return pad(typeof value === "string" ? quote(value) : formatValue(value, budget), inner);
}
