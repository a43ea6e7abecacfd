/** What one executor may push; beyond it, series are left out. */
const maxBytes = 1024 * 1024;
const maxSeries = 2000;
const maxLineLength = 4096;
const maxLabels = 32;
const maxExecutors = 5000;
/** As long as the protocol's instances keep them: an executor beats every 5 s. */
const keptMs = 30_000;

const metricTypes = new Set(["counter", "gauge", "histogram", "summary", "untyped"]);
const seriesPattern = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})?[ \t]+(\S+)(?:[ \t]+-?\d{1,15})?$/;
const labelPattern = /[ \t]*([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"[ \t]*(?:,|$)/y;
const valuePattern = /^(?:[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|NaN|[+-]?Inf)$/;

interface Series {
  readonly name: string;
  /** Rendered, escaped as they came. */
  readonly labels: string;
  readonly value: string;
}

interface Pushed {
  readonly at: number;
  readonly types: ReadonlyMap<string, string>;
  readonly series: readonly Series[];
}

/**
 * Metrics that executors push in heartbeats, kept for half a minute and given out again with `sg_instance` and `sg_job`.
 * The text is an executor's word: every line is taken apart and written anew, what is no series is dropped, and names of
 * this instance's own metrics cannot be spoken for.
 */
export class PushedMetrics {
  readonly #pushed = new Map<string, Pushed>();
  readonly #now: () => number;

  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  push(executor: string, text: string): void {
    this.#pushed.delete(executor);
    if (text === "") return;
    this.#forget();
    if (this.#pushed.size >= maxExecutors) return;
    this.#pushed.set(executor, { at: this.#now(), ...parse(executor, text) });
  }

  /** Text exposition of all executors together, each family once. `taken`: families that the instance gives out itself. */
  text(taken: ReadonlySet<string>): string {
    this.#forget();
    const families = new Map<string, { type: string | undefined; lines: string[] }>();
    for (const { types, series } of this.#pushed.values()) {
      for (const { name, labels, value } of series) {
        const family = familyOf(name, types);
        if (taken.has(family)) continue;
        const known = families.get(family) ?? { type: types.get(family), lines: [] };
        families.set(family, known);
        known.lines.push(`${name}{${labels}} ${value}`);
      }
    }
    return [...families]
      .map(([name, { type, lines }]) => `${type ? `# TYPE ${name} ${type}\n` : ""}${lines.join("\n")}\n`)
      .join("");
  }

  #forget(): void {
    const oldest = this.#now() - keptMs;
    for (const [executor, { at }] of this.#pushed) if (at < oldest) this.#pushed.delete(executor);
  }
}

function parse(executor: string, text: string): Omit<Pushed, "at"> {
  const types = new Map<string, string>();
  const series = new Map<string, Series>();
  for (const line of text.slice(0, maxBytes).split("\n")) {
    if (line.length > maxLineLength) continue;
    const type = /^# TYPE ([a-zA-Z_:][a-zA-Z0-9_:]*) (\w+)$/.exec(line);
    if (type?.[1] && type[2] && metricTypes.has(type[2]) && types.size < maxSeries) types.set(type[1], type[2]);
    if (series.size >= maxSeries) break;
    const one = line.startsWith("#") ? null : parseSeries(executor, line.trim());
    // The first of two that are the same: a page with both could not be read.
    if (one && !series.has(`${one.name}{${one.labels}}`)) series.set(`${one.name}{${one.labels}}`, one);
  }
  return { types, series: [...series.values()] };
}

function parseSeries(executor: string, line: string): Series | null {
  const match = seriesPattern.exec(line);
  const [, name, labelText = "", value] = match ?? [];
  if (name === undefined || value === undefined || !valuePattern.test(value)) return null;
  const labels = parseLabels(labelText);
  if (!labels) return null;
  const job = labels.get("sg_instance") === "docker-registry" ? "-registry" : "";
  if (!labels.has("sg_instance")) labels.set("sg_instance", escapeLabel(executor));
  labels.set("sg_job", `sourcegraph-executors${job}`);
  const sorted = [...labels].sort(([a], [b]) => (a < b ? -1 : 1));
  return { name, labels: sorted.map(([label, text]) => `${label}="${text}"`).join(","), value };
}

function parseLabels(text: string): Map<string, string> | null {
  const labels = new Map<string, string>();
  labelPattern.lastIndex = 0;
  while (labelPattern.lastIndex < text.length) {
    const match = labelPattern.exec(text);
    if (!match?.[1] || match[2] === undefined || labels.has(match[1]) || labels.size >= maxLabels) return null;
    labels.set(match[1], match[2]);
  }
  return labels;
}

function escapeLabel(text: string): string {
  return text.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
}

/** A histogram's and a summary's series have names of their own. */
function familyOf(name: string, types: ReadonlyMap<string, string>): string {
  const base = name.replace(/_(?:bucket|sum|count)$/, "");
  const type = types.get(base);
  return base !== name && (type === "histogram" || type === "summary") ? base : name;
}
