// The dependency rules of the architecture, checked: which workspace package may know which other, no import past a
// package's exports, no relative import that leaves its package, no cycle between files.
import { globSync, readFileSync } from "node:fs";
import path from "node:path";
import { parseSync } from "oxc-parser";
import { root } from "./run.ts";

/** What each package may import of this project. Tests and `src/testing/` may import `@airlock/test-kit` besides. */
const allowed: Readonly<Record<string, readonly string[]>> = {
  "packages/job": [],
  "packages/api": ["job"],
  "packages/runtime": ["job"],
  "packages/test-kit": ["job", "runtime"],
  "apps/instance": ["job", "api"],
  "apps/executor": ["job", "api", "runtime"],
  "apps/cli": ["job", "api"],
  "apps/web": ["job", "api"],
  bench: ["job", "api", "runtime", "test-kit"],
  chaos: ["job", "api", "test-kit"],
  scripts: [],
};

const problems: string[] = [];
const imports = new Map<string, string[]>();

for (const [folder, names] of Object.entries(allowed)) {
  const source = folder === "scripts" ? folder : `${folder}/src`;
  for (const file of globSync(`${source}/**/*.{ts,tsx}`, { cwd: root })) checkFile(file, folder, names);
}
for (const cycle of findCycles(imports)) problems.push(`cycle: ${cycle.join(" → ")}`);

for (const problem of problems) console.error(problem);
console.log(`${imports.size} files, ${problems.length} violations of the dependency rules`);
process.exitCode = problems.length === 0 ? 0 : 1;

function checkFile(file: string, folder: string, names: readonly string[]): void {
  const isTest = /\.test\.tsx?$|\/src\/testing\//.test(file);
  const targets: string[] = [];
  for (const { specifier, typeOnly } of readImports(file)) {
    if (specifier.startsWith("@airlock/")) {
      const name = specifier.split("/")[1] ?? "";
      if (names.includes(name) || (isTest && name === "test-kit")) continue;
      problems.push(`${file}: imports ${specifier}; ${folder} may know ${names.join(", ") || "no other package"}`);
    } else if (specifier.startsWith(".")) {
      const target = path.join(path.dirname(file), specifier);
      if (!target.startsWith(`${folder}/`)) problems.push(`${file}: ${specifier} leaves ${folder}`);
      // Types are gone at run time: a cycle of them can't leave a module half loaded.
      else if (!typeOnly) targets.push(target);
    } else if (/(^|\/)apps\//.test(specifier)) problems.push(`${file}: ${specifier} reaches into an application`);
  }
  imports.set(file, targets);
}

function readImports(file: string): { specifier: string; typeOnly: boolean }[] {
  const { module, errors } = parseSync(file, readFileSync(path.join(root, file), "utf8"));
  if (errors.length > 0) problems.push(`${file}: ${errors[0]?.message ?? "does not parse"}`);
  return [
    ...module.staticImports.map((item) => ({
      specifier: item.moduleRequest.value,
      typeOnly: item.entries.length > 0 && item.entries.every((entry) => entry.isType),
    })),
    ...module.staticExports.flatMap((item) =>
      item.entries.flatMap((entry) =>
        entry.moduleRequest ? [{ specifier: entry.moduleRequest.value, typeOnly: entry.isType }] : [],
      ),
    ),
  ];
}

/** Each cycle once, as the path that closes it. */
function findCycles(graph: ReadonlyMap<string, readonly string[]>): string[][] {
  const done = new Set<string>();
  const cycles: string[][] = [];
  const visit = (file: string, trail: readonly string[]): void => {
    const start = trail.indexOf(file);
    if (start >= 0) {
      cycles.push([...trail.slice(start), file]);
      return;
    }
    if (done.has(file)) return;
    for (const next of graph.get(file) ?? []) visit(next, [...trail, file]);
    done.add(file);
  };
  for (const file of graph.keys()) visit(file, []);
  return cycles;
}
