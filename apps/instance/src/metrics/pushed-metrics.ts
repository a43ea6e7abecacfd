/** Limits for one executor. Series past them are left out. */
const maxBytes = 1024 * 1024;
const maxSeries = 2000;
const maxLineLength = 4096;
const maxLabels = 32;

const metricTypes = new Set(["counter", "gauge", "histogram", "summary", "untyped"]);
const seriesPattern = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})?[ \t]+(\S+)(?:[ \t]+-?\d{1,15})?$/;
const labelPattern = /[ \t]*([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"[ \t]*(?:,|$)/y;
const valuePattern = /^(?:[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|NaN|[+-]?Inf)$/;

/** Labels keep the escapes with which they came. */
type Series = readonly [name: string, labels: string, value: string];

export interface PushedMetrics {
  /** Metric types by family name. */
  readonly types: Readonly<Record<string, string>>;
  readonly series: readonly Series[];
}

/**
 * Parses the metrics that an executor pushes in a heartbeat, and adds `sg_instance` and `sg_job`. The text is
 * untrusted: each line is parsed and written anew, and what is not a series is dropped.
 */
export function parsePushedMetrics(executor: string, text: string): PushedMetrics {
  const types = new Map<string, string>();
  const series = new Map<string, Series>();
  for (const line of text.slice(0, maxBytes).split("\n")) {
    if (line.length > maxLineLength) continue;
    const type = /^# TYPE ([a-zA-Z_:][a-zA-Z0-9_:]*) (\w+)$/.exec(line);
    if (type?.[1] && type[2] && metricTypes.has(type[2]) && types.size < maxSeries) types.set(type[1], type[2]);
    if (series.size >= maxSeries) break;
    const one = line.startsWith("#") ? null : parseSeries(executor, line.trim());
    // Keep the first of two equal series: Prometheus rejects a page with duplicates.
    if (one && !series.has(`${one[0]}{${one[1]}}`)) series.set(`${one[0]}{${one[1]}}`, one);
  }
  return { types: Object.fromEntries(types), series: [...series.values()] };
}

/**
 * Formats the metrics of all executors as text, each family once. Of equal series from two executors, the first is
 * kept.
 * @param taken Families that the instance itself exports. Executors can't override them.
 */
export function formatPushedMetrics(pushed: Iterable<PushedMetrics>, taken: ReadonlySet<string>): string {
  const families = new Map<string, { type: string | undefined; lines: Map<string, string> }>();
  for (const { types, series } of pushed) {
    for (const [name, labels, value] of series) {
      const family = familyOf(name, types);
      if (taken.has(family) || taken.has(name)) continue;
      const known = families.get(family) ?? { type: typeOf(types, family), lines: new Map() };
      families.set(family, known);
      const line = `${name}{${labels}}`;
      if (!known.lines.has(line)) known.lines.set(line, `${line} ${value}`);
    }
  }
  return [...families]
    .map(([name, { type, lines }]) => `${type ? `# TYPE ${name} ${type}\n` : ""}${[...lines.values()].join("\n")}\n`)
    .join("");
}

function typeOf(types: PushedMetrics["types"], name: string): string | undefined {
  return Object.hasOwn(types, name) ? types[name] : undefined;
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
  return [name, sorted.map(([label, text]) => `${label}="${text}"`).join(","), value];
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

/** The family of a series. Series of histograms and summaries have suffixes after the family's name. */
function familyOf(name: string, types: PushedMetrics["types"]): string {
  const base = name.replace(/_(?:bucket|sum|count)$/, "");
  const type = typeOf(types, base);
  return base !== name && (type === "histogram" || type === "summary") ? base : name;
}
