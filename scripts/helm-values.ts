// Writes docs/helm-*.md from the schemas and default values of the charts. With --check it only reports whether a file is
// stale. It fails if a schema and its default values don't have the same names, or if the executors' Role does not have
// exactly the rights that the runtime needs.
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { manifestOfRules } from "@airlock/runtime/kubernetes";
import { parse } from "yaml";
import { root } from "./programs/run.ts";

interface Schema {
  readonly description?: string;
  readonly properties?: Readonly<Record<string, Schema>>;
}

const charts = ["airlock", "airlock-executor", "airlock-executor-dind"] as const;
/** Helm adds it to the values of every chart. */
const builtIn = "global";
let failed = false;

for (const chart of charts) {
  const directory = path.join(root, "deploy/helm", chart);
  const schema = JSON.parse(readFileSync(path.join(directory, "values.schema.json"), "utf8")) as Schema;
  const defaults: unknown = parse(readFileSync(path.join(directory, "values.yaml"), "utf8"));
  const rows = rowsOf(schema, defaults, "");
  const begin = readFileSync(path.join(directory, "introduction.md"), "utf8");
  const text = `${begin}\n## Values\n\n| value | default | |\n|---|---|---|\n${rows.join("\n")}\n`;
  const file = path.join(root, `docs/helm-${chart}.md`);
  if (!process.argv.includes("--check")) writeFileSync(file, text);
  else if (!existsSync(file) || readFileSync(file, "utf8") !== text) {
    console.error(`docs/helm-${chart}.md is stale: run node scripts/helm-values.ts`);
    failed = true;
  }
}

const role = "deploy/helm/airlock-executor/templates/rights.yaml";
if (!readFileSync(path.join(root, role), "utf8").includes(`rules:\n${manifestOfRules()}\n---`)) {
  console.error(`${role} must have these rules; then run node scripts/kustomize.ts:\n${manifestOfRules()}`);
  failed = true;
}
process.exitCode = failed ? 1 : 0;

function rowsOf(schema: Schema, defaults: unknown, prefix: string): string[] {
  const values = (typeof defaults === "object" && defaults !== null ? defaults : {}) as Record<string, unknown>;
  const properties = Object.entries(schema.properties ?? {}).filter(([name]) => name !== builtIn);
  for (const name of Object.keys(values)) {
    if (!schema.properties?.[name]) throw new Error(`values.yaml has ${prefix}${name}, which the schema lacks`);
  }
  return properties.flatMap(([name, property]) => {
    const key = `${prefix}${name}`;
    if (!(name in values)) throw new Error(`values.yaml lacks ${key}`);
    if (!property.description) throw new Error(`the schema does not describe ${key}`);
    if (property.properties) {
      return [`| \`${key}\` | | ${property.description} |`, ...rowsOf(property, values[name], `${key}.`)];
    }
    const value = values[name] === "" ? "" : `\`${JSON.stringify(values[name])}\``;
    return [`| \`${key}\` | ${value} | ${property.description} |`];
  });
}
