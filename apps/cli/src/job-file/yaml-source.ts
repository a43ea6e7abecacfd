import {
  isAlias,
  isMap,
  isPair,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  type Pair,
  parseAllDocuments,
  visit,
} from "yaml";

/** A place in the text. Line and column start at 1. */
export interface Span {
  readonly line: number;
  readonly column: number;
  readonly length: number;
}

export interface YamlProblem {
  readonly span: Span;
  readonly message: string;
  readonly help?: string;
}

/** A YAML document as plain data that remembers where each value came from. */
export interface YamlSource {
  readonly value: unknown;
  /** The place of a value, or of its key. For a missing value, the place of the nearest existing parent. */
  locate(path: readonly PropertyKey[], target: "key" | "value"): Span;
}

/** Parses exactly one document of YAML 1.2, which includes JSON. Reports all syntax errors at once. */
export function parseYaml(text: string): YamlSource | { readonly problems: readonly YamlProblem[] } {
  const lineCounter = new LineCounter();
  const spanOf = (start: number, end: number): Span => {
    const { line, col } = lineCounter.linePos(start);
    return { line: Math.max(1, line), column: Math.max(1, col), length: Math.max(1, end - start) };
  };
  const failed = (message: string, help?: string, span = spanOf(0, 1)) => ({
    problems: [{ span, message, ...(help === undefined ? {} : { help }) }],
  });

  let documents: ReturnType<typeof parseAllDocuments>;
  try {
    documents = parseAllDocuments(text, {
      lineCounter,
      prettyErrors: false,
      version: "1.2",
      stringKeys: true,
      merge: false,
    });
  } catch (error) {
    // Tens of thousands of opening brackets exhaust the parser's stack.
    if (error instanceof RangeError) return failed("nested too deeply");
    throw error;
  }
  if (!Array.isArray(documents)) return failed("the file is empty", "a job file needs at least `steps`");
  const [document, second] = documents;
  if (!document) return failed("the file is empty", "a job file needs at least `steps`");
  const faults = [...document.errors, ...document.warnings];
  if (faults.length > 0) {
    return {
      problems: faults.map((fault) => ({
        span: spanOf(fault.pos[0], fault.pos[1]),
        ...explainFault(fault.code, fault.message),
      })),
    };
  }
  if (second) {
    const start = second.range?.[0] ?? text.length;
    return failed(
      "a second document begins here",
      "a file holds one job: remove the `---` line, or split the file",
      spanOf(start, start + 3),
    );
  }
  if (document.contents === null || (isScalar(document.contents) && document.contents.value === null)) {
    return failed("the file is empty", "a job file needs at least `steps`");
  }

  const forbidden: YamlProblem[] = [];
  visit(document, {
    Pair(_, pair) {
      // Later code would drop this name silently, or change an object's prototype.
      if (isScalar(pair.key) && pair.key.value === "__proto__") {
        const [start, end] = rangeOf(pair.key) ?? [0, 1];
        forbidden.push({ span: spanOf(start, end), message: 'the name "__proto__" is not allowed' });
      }
    },
  });
  if (forbidden.length > 0) return { problems: forbidden };

  let value: unknown;
  try {
    value = document.toJS({ maxAliasCount: 100 });
  } catch (error) {
    if (error instanceof ReferenceError) {
      const [, name] = /Unresolved alias.*?: (\S+)$/.exec(error.message) ?? [];
      if (name === undefined) return failed("too many aliases", "write the values out instead");
      let span = spanOf(0, 1);
      visit(document, {
        Alias(_, alias) {
          const [start, end] = rangeOf(alias) ?? [0, 1];
          if (alias.source !== name) return undefined;
          span = spanOf(start, end);
          return visit.BREAK;
        },
      });
      return failed(`no anchor named "${name}"`, undefined, span);
    }
    if (error instanceof RangeError) return failed("nested too deeply");
    throw error;
  }

  const resolve = (node: unknown): unknown => (isAlias(node) ? node.resolve(document) : node);
  const locate = (path: readonly PropertyKey[], target: "key" | "value"): Span => {
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
  return { value, locate };
}

function findPair(
  items: readonly Pair[],
  part: PropertyKey,
): { readonly key: unknown; readonly value: unknown } | undefined {
  return items.find((pair) => isPair(pair) && isScalar(pair.key) && pair.key.value === String(part));
}

/**
 * The place for a missing field: the name of its parent if there is one, else the first name in it or its first
 * character.
 */
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
    case "DUPLICATE_KEY":
      return { message: "this field appears twice" };
    case "NON_STRING_KEY":
      return { message: "a field's name must be plain text" };
    default:
      return { message: message.replace(/\.$/, "") };
  }
}
