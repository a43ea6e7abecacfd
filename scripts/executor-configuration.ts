// Writes docs/executor-configuration.md from the executor's schemas. With --check it only reports whether the file is
// stale.
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { root } from "./programs/run.ts";

const file = path.join(root, "docs/executor-configuration.md");
const executor = path.join(root, "apps/executor/src/main.ts");
const { stdout, stderr, status } = spawnSync(process.execPath, [executor, "help", "variables", "--markdown"], {
  encoding: "utf8",
});
if (status !== 0) throw new Error(`the executor could not describe its variables: ${stderr}`);

if (!process.argv.includes("--check")) writeFileSync(file, stdout);
else if (readFileSync(file, "utf8") !== stdout) {
  console.error("docs/executor-configuration.md is stale: run node scripts/executor-configuration.ts");
  process.exitCode = 1;
}
