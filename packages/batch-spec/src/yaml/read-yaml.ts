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
interface Span {
  readonly line: number;
  readonly column: number;
  readonly length: number;
}

interface YamlProblem {
  readonly span: Span;
  readonly message: string;
  readonly help?: string;
}

/** A YAML document as plain data that remembers where each value came from. */
interface YamlDocument {
  readonly value: unknown;
  /** The place of a value, or of its key. For a missing value, the place of the nearest existing parent. */
  locate(path: readonly PropertyKey[], target: "key" | "value"): Span;
}

type YamlResult = YamlDocument | { readonly problems: readonly YamlProblem[] };

export const maximumYamlLength = 256 * 1024;
/** Real specs nest to about ten. The limit keeps recursion within the stack. */
const maximumDepth = 64;
const depthHelp = `at most ${maximumDepth} levels are allowed`;
const maximumAliases = 100;

/**
 * Parses one document of YAML 1.2, which includes JSON, with merge keys (`<<`). Every loop and recursion is bounded, so
 * the text may come from anybody. With `intAsBigInt`, whole numbers are `bigint`, and numbers with a dot are not.
 */
export function readYaml(text: string, { intAsBigInt = false } = {}): YamlResult {
  const lineCounter = new LineCounter();
  const spanOf = (start: number, end: number): Span => {
    const { line, col } = lineCounter.linePos(start);
    return { line: Math.max(1, line), column: Math.max(1, col), length: Math.max(1, end - start) };
  };
  const failed = (message: string, help?: string, span = spanOf(0, 1)) => ({
    problems: [{ span, message, ...(help === undefined ? {} : { help }) }],
  });
  if (text.length > maximumYamlLength) {
    const help = "move long scripts and files into an image, or mount them";
    return failed(`is longer than ${maximumYamlLength / 1024} Ki characters`, help);
  }

  const documents = parseAllDocuments(text, {
    lineCounter,
    prettyErrors: false,
    version: "1.2",
    stringKeys: true,
    merge: true,
    intAsBigInt,
    // The parser compares each key with all others. `checkTree` finds the same faults in linear time.
    uniqueKeys: false,
  });
  const [document, second] = Array.isArray(documents) ? documents : [];
  if (!document) return failed("is empty");
  const faults = [...document.errors, ...document.warnings];
  if (faults.length > 0) {
    return {
      problems: faults.slice(0, 20).map((fault) => ({
        span: spanOf(fault.pos[0], fault.pos[1]),
        ...explainFault(fault.code, fault.message),
      })),
    };
  }
  if (second) {
    const start = second.range?.[0] ?? text.length;
    return failed("a second document begins here", "remove the `---` line", spanOf(start, start + 3));
  }
  if (document.contents === null || (isScalar(document.contents) && document.contents.value === null)) {
    return failed("is empty");
  }
  const problems = checkTree(document, spanOf);
  if (problems.length > 0) return { problems };
  try {
    return { value: document.toJS({ maxAliasCount: maximumAliases }), locate: locator(document, text, spanOf) };
  } catch (error) {
    if (error instanceof ReferenceError) return failed("aliases expand to too much", "write the values out instead");
    throw error;
  }
}

/** Finds duplicate and dangerous keys, unknown and too many aliases, unsafe integers, and trees that are too deep. */
function checkTree(
  document: YamlTree<Node, boolean>,
  spanOf: (start: number, end: number) => Span,
): readonly YamlProblem[] {
  const problems: YamlProblem[] = [];
  const report = (node: unknown, message: string, help?: string) => {
    const [start, end] = rangeOf(node) ?? [0, 1];
    problems.push({ span: spanOf(start, end), message, ...(help === undefined ? {} : { help }) });
    return problems.length < 20 ? undefined : visit.BREAK;
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
      if (!isScalar(node.key) || node.key.value !== "<<") return undefined;
      const sources = isSeq(node.value) ? node.value.items : [node.value];
      return sources.every(isMergeable) ? undefined : report(node.key, "`<<` needs a map, or an alias of a map");
    }
    if (isAlias(node)) {
      aliases += 1;
      if (!anchors.has(node.source)) return report(node, `no anchor named "${node.source}"`);
      if (aliases <= maximumAliases) return undefined;
      report(node, "too many aliases", "write the values out instead");
      return visit.BREAK;
    }
    if (isNode(node) && node.anchor !== undefined) anchors.set(node.anchor, node);
    if (isMap(node)) return checkKeys(node.items, report);
    if (!isScalar(node) || typeof node.value !== "number" || !Number.isInteger(node.value)) return undefined;
    if (Number.isSafeInteger(node.value)) return undefined;
    return report(node, "this number is too large to be kept exactly", "put it in quotes");
  });
  return problems;
}

function checkKeys(items: readonly Pair[], report: (node: unknown, message: string) => symbol | undefined) {
  const seen = new Set<unknown>();
  for (const { key } of items) {
    if (!isScalar(key)) continue;
    // Later code would drop this name silently, or change an object's prototype.
    if (key.value === "__proto__") report(key, 'the name "__proto__" is not allowed');
    const repeated = seen.has(key.value) && key.value !== "<<";
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
