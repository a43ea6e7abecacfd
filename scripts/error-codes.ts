// Writes docs/errors.md from the list of error codes. With --check it only reports whether the file is stale.
import { existsSync, globSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { type ErrorCodeEntry, errorCodeGroups } from "@airlock/job";
import { root } from "./programs/run.ts";

const sections = Object.entries(errorCodeGroups).map(([title, codes]) => {
  const entries = Object.entries<ErrorCodeEntry>(codes);
  const statuses = entries.some(([, { status }]) => status !== null);
  const rows = entries.map(([code, { status, documentation }]) =>
    statuses ? `| \`${code}\` | ${status ?? "–"} | ${documentation} |` : `| \`${code}\` | ${documentation} |`,
  );
  const head = statuses ? "| code | status | meaning |\n|---|---|---|" : "| code | meaning |\n|---|---|";
  return `## ${title}\n\n${head}\n${rows.join("\n")}\n`;
});

const text = `# Error codes

<!-- Written by \`node scripts/error-codes.ts\` from packages/job/src/error-codes. Don't edit it. -->

Every error that Airlock reports on purpose has a code. Codes are stable, and programs may match on them. Messages and
hints are for people and may change.

The REST API answers an error as \`{ "error": { "code", "message", "hint", "issues" } }\` with the status of its code.

${sections.join("\n")}`;

const problems = unusedCodes().map((code) => `the error code ${code} is declared and no source uses it: remove it`);
const file = path.join(root, "docs/errors.md");
if (!process.argv.includes("--check")) writeFileSync(file, text);
else if (!existsSync(file) || readFileSync(file, "utf8") !== text) {
  problems.push("docs/errors.md is stale: run node scripts/error-codes.ts");
}
for (const problem of problems) console.error(problem);
process.exitCode = problems.length === 0 ? 0 : 1;

function unusedCodes(): string[] {
  const sources = globSync("{apps,packages}/*/src/**/*.{ts,tsx}", { cwd: root })
    .filter((source) => !source.startsWith("packages/job/src/error-codes/") && !/\.test\.tsx?$/.test(source))
    .map((source) => readFileSync(path.join(root, source), "utf8"))
    .join("\n");
  return Object.values(errorCodeGroups)
    .flatMap((codes) => Object.keys(codes))
    .filter((code) => !sources.includes(`"${code}"`));
}
