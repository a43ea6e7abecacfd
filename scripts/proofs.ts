// Checks that promises in documents have proofs.
// Each link to a TypeScript file in the documents below must have a test's title as its text (or the name of a
// benchmark's row). Each row of a table with a column "proof" must have such a link. Files and variables that the
// documents name must exist.
// Writes the table of attacks on the runtimes from their catalogue. With --check it writes nothing. With --titles FILE…
// it prints the titles of test files, to link to.
import { spawnSync } from "node:child_process";
import { existsSync, globSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { root } from "./programs/run.ts";
import { testTitles } from "./test-titles.ts";

const documents = ["docs/security.md", "docs/SPECIFICATION.md"];
/** The sources that declare variables. A variable exists if its name occurs here. */
const variables = globSync(["apps/executor/src/config/variables/*.ts", "apps/instance/src/config/*.ts"], { cwd: root })
  .map((file) => readFileSync(path.join(root, file), "utf8"))
  .join("\n");
const attackTable = {
  document: "docs/security.md",
  program: "packages/runtime/src/testing/attacks/suite/attack-table.ts",
  begin: "<!-- Written by `node scripts/proofs.ts` from the catalogue of attacks. Don't edit it. -->\n",
  end: "<!-- End of what is written. -->\n",
};

const [option, ...files] = process.argv.slice(2);
if (option === "--titles") {
  for (const file of files) for (const titles of testTitles(file)) console.log(`[${titles.join(" ")}](../${file})`);
} else {
  const problems = [...writeAttacks(option === "--check"), ...documents.flatMap(problemsOf)];
  for (const problem of problems) console.error(problem);
  process.exitCode = problems.length === 0 ? 0 : 1;
}

function writeAttacks(onlyCheck: boolean): string[] {
  const { document, program, begin, end } = attackTable;
  const { stdout, stderr, status } = spawnSync(process.execPath, [path.join(root, program)], { encoding: "utf8" });
  if (status !== 0) throw new Error(`the catalogue of attacks could not be printed: ${stderr}`);
  const text = readFileSync(path.join(root, document), "utf8");
  const [first, last] = [text.indexOf(begin), text.indexOf(end)];
  if (first === -1 || last < first) return [`${document}: has no place for the table of attacks`];
  const written = `${text.slice(0, first)}${begin}\n${stdout}\n${text.slice(last)}`;
  if (written === text) return [];
  if (onlyCheck) return [`${document}: the table of attacks is stale: run node scripts/proofs.ts`];
  writeFileSync(path.join(root, document), written);
  return [];
}

function problemsOf(document: string): string[] {
  const problems: string[] = [];
  let proofColumn = -1;
  let links = 0;
  for (const [index, line] of readFileSync(path.join(root, document), "utf8").split("\n").entries()) {
    const place = `${document}:${index + 1}`;
    for (const link of linksOf(line)) {
      links += 1;
      const problem = problemOf(document, link);
      if (problem) problems.push(`${place}: ${problem}`);
    }
    for (const [, target = ""] of line.matchAll(/\]\((?!https?:|#)([^)#\s]+)/g)) {
      if (!existsSync(path.join(root, path.dirname(document), target)))
        problems.push(`${place}: ${target} is not there`);
    }
    for (const [name] of line.matchAll(/\b(?:EXECUTOR|AIRLOCK)_[A-Z_]+\b/g)) {
      if (!new RegExp(`\\b${name}\\b`).test(variables)) problems.push(`${place}: no variable named ${name}`);
    }
    if (!line.startsWith("|")) proofColumn = -1;
    else if (proofColumn === -1) proofColumn = cellsOf(line).indexOf("proof");
    else if (!line.startsWith("|---") && linksOf(cellsOf(line)[proofColumn] ?? "").length === 0) {
      problems.push(`${place}: the row has no link to a test or a benchmark`);
    }
  }
  if (problems.length === 0) console.log(`${document}: ${links} links to tests and benchmarks hold`);
  return problems;
}

interface Link {
  readonly text: string;
  readonly target: string;
}

/** Returns the links to TypeScript files and ignores all others. */
function linksOf(markdown: string): readonly Link[] {
  return [...markdown.matchAll(/\[((?:\\.|[^\\\]])*)\]\(([^)\s]+\.ts)\)/g)].map(([, text = "", target = ""]) => ({
    text: text.replaceAll(/\\(.)/g, "$1"),
    target,
  }));
}

function cellsOf(line: string): readonly string[] {
  return line
    .split(/(?<!\\)\|/)
    .slice(1, -1)
    .map((cell) => cell.trim());
}

function problemOf(document: string, { text, target }: Link): string | null {
  const file = path.join(path.dirname(document), target);
  if (!existsSync(path.join(root, file))) return null;
  if (file.startsWith("bench/src/rows/")) {
    const row = `bench ${path.basename(file, ".ts")}`;
    return text === row ? null : `a link to this file is called "${row}"`;
  }
  // The link's text may start with the titles of inner groups, as in a test report.
  const known = titlesIn(file).some((titles) => titles.some((_, from) => titles.slice(from).join(" ") === text));
  return known ? null : `${file} has no test "${text}"`;
}

function titlesIn(file: string): readonly (readonly string[])[] {
  return testTitles(path.join(root, file));
}
