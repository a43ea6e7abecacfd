// Checks the documents of the documentation site: links, navigation, and the marks of commands that no test runs, which
// it lists.
import { findProblems } from "./help/find-problems.ts";
import { readCommands } from "./help/read-commands.ts";
import { readDocuments } from "./help/read-documents.ts";
import { root } from "./programs/run.ts";

const documents = readDocuments(root);
const problems = findProblems(documents, root);
for (const problem of problems) console.error(problem);
const blocks = documents.flatMap(readCommands);
const skipped = blocks.filter(({ notRun }) => notRun !== null);
console.log(
  `${documents.length} pages; a test runs ${blocks.length - skipped.length} of ${blocks.length} blocks of commands`,
);
for (const { file, script, notRun } of skipped) console.log(`  not run: ${file}: ${script.split("\n")[0]} (${notRun})`);
process.exitCode = problems.length === 0 ? 0 : 1;
