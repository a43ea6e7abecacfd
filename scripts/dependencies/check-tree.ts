import path from "node:path";
import { findCircles } from "./find-circles.ts";
import { type Import, readImports } from "./read-imports.ts";

export interface PackageRules {
  /** Folder of all its sources, e.g. `apps/executor/src`. */
  readonly source: string;
  /** Names, without `@airlock/`, of the packages that it may import. */
  readonly mayImport: readonly string[];
}

interface SourceFile {
  readonly file: string;
  readonly imports: readonly Import[];
}

/**
 * Checks the sources of one package against the dependency rules and returns the violations:
 *
 * 1. It imports only the packages in `mayImport`. Tests and `testing/` may also import `@airlock/test-kit`.
 * 2. No relative import leaves the package's sources, and no import reaches into an application.
 * 3. The run-time imports of files have no cycles.
 * 4. Folders have no cycles. Each folder is one node that stands for the files directly inside it, so a parent and its
 *    child are two nodes. Every import between two folders is an edge: static or `import()`, of values or only of types.
 * 5. Files directly in the source folder assemble the package, so folders must not import them. `testing/` may, to
 *    start the whole program. Code that folders share needs its own folder.
 * 6. Nothing imports a test, and only tests and `testing/` import `testing/`. Rules 4 and 5 ignore what tests import.
 *
 * A program that is started by its path (`new URL("./main.ts", import.meta.url)`) is not imported.
 * @param files Texts by path, relative to the root of the repository, with `/`.
 */
export function checkPackage(files: ReadonlyMap<string, string>, rules: PackageRules): readonly string[] {
  const problems: string[] = [];
  const sources: SourceFile[] = [];
  for (const [file, text] of files) {
    const { imports, problems: unreadable } = readImports(file, text);
    problems.push(...unreadable);
    sources.push({ file, imports });
  }
  for (const source of sources) problems.push(...checkSpecifiers(source, rules));
  problems.push(...fileCircles(sources));
  return [...problems, ...folderProblems(sources, rules)];
}

function checkSpecifiers({ file, imports }: SourceFile, { source, mayImport }: PackageRules): readonly string[] {
  const problems: string[] = [];
  for (const { specifier } of imports) {
    if (specifier.startsWith("@airlock/")) {
      const name = specifier.split("/")[1] ?? "";
      if (mayImport.includes(name) || (name === "test-kit" && belongsToTests(file))) continue;
      const known = mayImport.join(", ") || "no other package";
      problems.push(`${file}: imports ${specifier}; ${source} may import ${known}`);
    } else if (isRelative(specifier)) {
      const target = resolve(file, specifier);
      if (!target.startsWith(`${source}/`)) problems.push(`${file}: ${specifier} leaves ${source}`);
      else if (isTest(target)) problems.push(`${file}: imports the test ${specifier}`);
      else if (belongsToTests(target) && !belongsToTests(file)) {
        problems.push(`${file}: imports ${specifier}, which is for tests`);
      }
    } else if (/(^|\/)apps\//.test(specifier)) problems.push(`${file}: ${specifier} reaches into an application`);
  }
  return problems;
}

function fileCircles(sources: readonly SourceFile[]): readonly string[] {
  const graph = new Map<string, string[]>();
  for (const { file, imports } of sources) {
    // Type imports are erased, so a cycle of them can't leave a module partially loaded.
    const loaded = imports.filter(({ specifier, typeOnly }) => isRelative(specifier) && !typeOnly);
    graph.set(
      file,
      loaded.map(({ specifier }) => resolve(file, specifier)),
    );
  }
  return findCircles(graph).map((circle) => `files form a circle: ${circle.join(" → ")}`);
}

function folderProblems(sources: readonly SourceFile[], { source }: PackageRules): readonly string[] {
  const problems: string[] = [];
  /** For each importing and imported folder, an example of such an import. */
  const graph = new Map<string, Map<string, string>>();
  for (const { file, imports } of sources) {
    if (isTest(file)) continue;
    const folder = path.posix.dirname(file);
    for (const { specifier } of imports) {
      if (!isRelative(specifier)) continue;
      const target = resolve(file, specifier);
      const targetFolder = path.posix.dirname(target);
      if (targetFolder === folder || !target.startsWith(`${source}/`)) continue;
      if (targetFolder === source && !belongsToTests(file)) {
        problems.push(
          `${file}: imports ${target}, which stands above all folders; move what folders share into a folder`,
        );
        continue;
      }
      const edges = graph.get(folder) ?? new Map<string, string>();
      graph.set(folder, edges);
      if (!edges.has(targetFolder)) edges.set(targetFolder, `${file} imports ${target}`);
    }
  }
  const circles = findCircles(new Map([...graph].map(([folder, edges]) => [folder, [...edges.keys()]])));
  for (const circle of circles) {
    const short = circle.map((folder) => path.posix.relative(source, folder) || ".");
    const shown = circle.slice(1).map((folder, index) => `    ${graph.get(circle[index] ?? "")?.get(folder)}`);
    problems.push([`${source}: folders form a circle: ${short.join(" → ")}`, ...shown].join("\n"));
  }
  return problems;
}

function isRelative(specifier: string): boolean {
  return specifier.startsWith(".");
}

function isTest(file: string): boolean {
  return /\.test\.tsx?$/.test(file);
}

function belongsToTests(file: string): boolean {
  return isTest(file) || file.includes("/testing/");
}

function resolve(file: string, specifier: string): string {
  return path.posix.join(path.posix.dirname(file), specifier);
}
