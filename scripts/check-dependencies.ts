// Checks the architecture's dependency rules in every package. The rules are in dependencies/check-tree.ts.
import { globSync, readFileSync } from "node:fs";
import path from "node:path";
import { checkPackage, type PackageRules } from "./dependencies/check-tree.ts";
import { findCircles } from "./dependencies/find-circles.ts";
import { root } from "./programs/run.ts";

const packages: readonly PackageRules[] = [
  { source: "packages/async/src", mayImport: [] },
  { source: "packages/job/src", mayImport: [] },
  { source: "packages/api/src", mayImport: ["job"] },
  { source: "packages/batch-spec/src", mayImport: ["job", "yaml-source"] },
  { source: "packages/git/src", mayImport: [] },
  { source: "packages/process/src", mayImport: ["async", "job"] },
  { source: "packages/proxy/src", mayImport: ["job"] },
  { source: "packages/runtime/src", mayImport: ["job", "async", "process", "proxy"] },
  { source: "packages/terminal-text/src", mayImport: [] },
  { source: "packages/test-kit/src", mayImport: ["async", "job", "runtime"] },
  { source: "packages/yaml-source/src", mayImport: ["job"] },
  { source: "apps/instance/src", mayImport: ["async", "job", "api", "git", "process", "proxy"] },
  {
    source: "apps/executor/src",
    mayImport: ["async", "job", "api", "git", "process", "proxy", "runtime", "terminal-text"],
  },
  { source: "apps/cli/src", mayImport: ["async", "job", "api", "process", "terminal-text", "yaml-source"] },
  { source: "apps/web/src", mayImport: ["job", "api", "terminal-text"] },
  { source: "bench/src", mayImport: ["job", "api", "runtime", "test-kit"] },
  { source: "chaos/src", mayImport: ["job", "api", "test-kit"] },
  { source: "scripts", mayImport: ["batch-spec", "job", "api", "runtime", "test-kit"] },
];

const problems: string[] = [];
const names = new Map(packages.map(({ source, mayImport }) => [source.split("/")[1] ?? source, mayImport]));
for (const circle of findCircles(names)) problems.push(`packages form a circle: ${circle.join(" → ")}`);
for (const folder of globSync("{packages,apps}/*", { cwd: root }).sort()) {
  const source = `${folder.replaceAll(path.sep, "/")}/src`;
  if (!packages.some((rules) => rules.source === source)) problems.push(`${source}: has no rules in this script`);
}
let count = 0;
for (const rules of packages) {
  const files = globSync(`${rules.source}/**/*.{ts,tsx}`, { cwd: root }).map((file) => file.replaceAll(path.sep, "/"));
  count += files.length;
  const texts = new Map(files.sort().map((file) => [file, readFileSync(path.join(root, file), "utf8")]));
  problems.push(...checkPackage(texts, rules));
}
for (const problem of problems) console.error(problem);
console.log(`${count} files, ${problems.length} violations of the dependency rules`);
process.exitCode = problems.length === 0 ? 0 : 1;
