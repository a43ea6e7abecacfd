import {
  isAlias,
  isMap,
  isNode,
  isPair,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  type Pair,
  parseAllDocuments,
  visit,
  type Document as YamlTree,
} from "yaml";

/** A place in the text. Line and column start at 1. */
export interface Span {
  readonly line: number;
  readonly column: number;
  readonly length: number;
}

export interface YamlProblem {
  /** The kind of problem, for callers with advice of their own. */
  readonly kind: "too-long" | "empty" | "second-document" | "fault";
  readonly span: Span;
  readonly message: string;
  readonly help?: string;
}

/** A YAML document as plain data that remembers where each value came from. */
export interface YamlDocument {
  readonly value: unknown;
  /** The place of a value, or of its key. For a missing value, the place of the nearest existing parent. */
  locate(path: readonly PropertyKey[], target: "key" | "value"): Span;
}

type YamlResult = YamlDocument | { readonly problems: readonly YamlProblem[] };

interface YamlOptions {
  /** The most characters that the text may have. */
  readonly maximumLength: number;
  readonly maximumAliases: number;
  /** Whether `<<` merges maps. Otherwise it is a name like any other. */
  readonly mergeKeys: boolean;
  /** Whether whole numbers become `bigint`. Numbers with a dot never do. */
  readonly intAsBigInt?: boolean;
}

/** Real specs nest to about ten. The limit keeps recursion within the stack. */
const maximumDepth = 64;
const depthHelp = `at most ${maximumDepth} levels are allowed`;
/** How often one anchor may be expanded, also by aliases of aliases. */
const maximumExpansions = 100;
const aliasHelp = "write the values out instead";
const maximumProblems = 100;

/**
 * Parses one document of YAML 1.2, which includes JSON. The text may be hostile: every loop and recursion is bounded.
 * Reports up to 100 faults at once.
 */
export function readYaml(text: string, options: YamlOptions): YamlResult {
  const lineCounter = new LineCounter();
  const spanOf = (start: number, end: number): Span => {
    const { line, col } = lineCounter.linePos(start);
    return { line: Math.max(1, line), column: Math.max(1, col), length: Math.max(1, end - start) };
  };
  const failed = (kind: YamlProblem["kind"], message: string, help?: string, span = spanOf(0, 1)) => ({
    problems: [{ kind, span, message, ...(help === undefined ? {} : { help }) }],
  });
  if (text.length > options.maximumLength) {
    return failed("too-long", `is longer than ${options.maximumLength / 1024} Ki characters`);
  }

  const documents = parseAllDocuments(text, {
    lineCounter,
    prettyErrors: false,
    version: "1.2",
    stringKeys: true,
    merge: options.mergeKeys,
    intAsBigInt: options.intAsBigInt ?? false,
    // The parser compares each key with all others. `checkTree` finds the same faults in linear time.
    uniqueKeys: false,
  });
  const [document, second] = Array.isArray(documents) ? documents : [];
  if (!document) return failed("empty", "is empty");
  const faults = [...document.errors, ...document.warnings];
  if (faults.length > 0) {
    return {
      problems: faults.slice(0, maximumProblems).map((fault) => ({
        kind: "fault",
        span: spanOf(fault.pos[0], fault.pos[1]),
        ...explainFault(fault.code, fault.message),
      })),
    };
  }
  if (second) {
    const start = second.range?.[0] ?? text.length;
    return failed("second-document", "a second document begins here", undefined, spanOf(start, start + 3));
  }
  if (document.contents === null || (isScalar(document.contents) && document.contents.value === null)) {
    return failed("empty", "is empty");
  }
  const problems = checkTree(document, spanOf, options);
  if (problems.length > 0) return { problems };
  try {
    return { value: document.toJS({ maxAliasCount: maximumExpansions }), locate: locator(document, text, spanOf) };
  } catch (error) {
    if (error instanceof ReferenceError) return failed("fault", "too many aliases", aliasHelp);
    throw error;
  }
}

/** Finds duplicate and dangerous keys, unknown and too many aliases, unsafe integers, and trees that are too deep. */
function checkTree(
  document: YamlTree<Node, boolean>,
  spanOf: (start: number, end: number) => Span,
  { maximumAliases, mergeKeys }: YamlOptions,
): readonly YamlProblem[] {
  const problems: YamlProblem[] = [];
  const report = (node: unknown, message: string, help?: string) => {
    const [start, end] = rangeOf(node) ?? [0, 1];
    problems.push({ kind: "fault", span: spanOf(start, end), message, ...(help === undefined ? {} : { help }) });
    return problems.length < maximumProblems ? undefined : visit.BREAK;
  };
  let aliases = 0;
  const anchors = new Map<string, Node>();
  const isMergeable = (node: unknown): boolean => isMap(isAlias(node) ? anchors.get(node.source) : node);
  visit(document, (_, node, parents) => {
    if (parents.length > maximumDepth * 2) {
      report(node, "nested too deeply", depthHelp);
      return visit.BREAK;
    }
    if (isPair(node)) {
      if (!mergeKeys || !isScalar(node.key) || node.key.value !== "<<") return undefined;
      const sources = isSeq(node.value) ? node.value.items : [node.value];
      return sources.every(isMergeable) ? undefined : report(node.key, "`<<` needs a map, or an alias of a map");
    }
    if (isAlias(node)) {
      aliases += 1;
      if (!anchors.has(node.source)) return report(node, `no anchor named "${node.source}"`);
      if (aliases <= maximumAliases) return undefined;
      report(node, "too many aliases", aliasHelp);
      return visit.BREAK;
    }
    if (isNode(node) && node.anchor !== undefined) anchors.set(node.anchor, node);
    if (isMap(node)) return checkKeys(node.items, mergeKeys, report);
    if (!isScalar(node) || typeof node.value !== "number" || !Number.isInteger(node.value)) return undefined;
    if (Number.isSafeInteger(node.value)) return undefined;
    return report(node, "this number is too large to be kept exactly", "put it in quotes");
  });
  return problems;
}

function checkKeys(
  items: readonly Pair[],
  mergeKeys: boolean,
  report: (node: unknown, message: string) => symbol | undefined,
) {
  const seen = new Set<unknown>();
  for (const { key } of items) {
    if (!isScalar(key)) continue;
    // Later code would drop this name silently, or change an object's prototype.
    if (key.value === "__proto__") report(key, 'the name "__proto__" is not allowed');
    const repeated = seen.has(key.value) && !(mergeKeys && key.value === "<<");
    if (repeated && report(key, "this field appears twice") === visit.BREAK) return visit.BREAK;
    seen.add(key.value);
  }
  return undefined;
}

function locator(document: YamlTree<Node, boolean>, text: string, spanOf: (start: number, end: number) => Span) {
  const resolve = (node: unknown): unknown => (isAlias(node) ? node.resolve(document) : node);
  return (path: readonly PropertyKey[], target: "key" | "value"): Span => {
    let best: { readonly key?: unknown; readonly value: unknown } = { value: document.contents };
    let found = true;
    for (const part of path) {
      const holder = resolve(best.value);
      const next = isMap(holder)
        ? findPair(holder.items, part)
        : isSeq(holder)
          ? { value: holder.items[Number(part)] }
          : undefined;
      if (!next || (next.value === undefined && !("key" in next))) {
        found = false;
        break;
      }
      best = next;
    }
    const node = target === "key" && found && best.key !== undefined ? best.key : best.value;
    const range = found ? (rangeOf(node) ?? rangeOf(best.key)) : startOf(best);
    return range ? spanOf(range[0], firstLineEnd(text, range)) : spanOf(0, 1);
  };
}

function findPair(
  items: readonly Pair[],
  part: PropertyKey,
): { readonly key: unknown; readonly value: unknown } | undefined {
  return items.find((pair) => isPair(pair) && isScalar(pair.key) && String(pair.key.value) === String(part));
}

/** The place for a missing field: the name of its parent if it has one, else the first name in it. */
function startOf(holder: { readonly key?: unknown; readonly value: unknown }): readonly [number, number] | undefined {
  const key = rangeOf(holder.key);
  if (key) return key;
  const range = rangeOf(holder.value);
  if (!range) return undefined;
  const first = isMap(holder.value) ? rangeOf(holder.value.items[0]?.key) : undefined;
  return first ?? [range[0], range[0] + 1];
}

function rangeOf(node: unknown): readonly [number, number] | undefined {
  const range = (node as Node | null | undefined)?.range;
  return range ? [range[0], Math.max(range[1], range[0] + 1)] : undefined;
}

function firstLineEnd(text: string, [start, end]: readonly [number, number]): number {
  const newline = text.indexOf("\n", start);
  return newline >= 0 && newline < end ? newline : end;
}

function explainFault(code: string, message: string): { message: string; help?: string } {
  switch (code) {
    case "TAB_AS_INDENT":
      return { message: "YAML does not allow tabs here", help: "indent with spaces" };
    case "NON_STRING_KEY":
      return { message: "a field's name must be plain text" };
    default:
      // Tens of thousands of opening brackets exhaust the parser's stack.
      if (message.includes("call stack")) return { message: "nested too deeply", help: depthHelp };
      return { message: message.replace(/\.$/, "") };
  }
}
