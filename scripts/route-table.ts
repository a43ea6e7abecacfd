// Writes the table of routes and roles into docs/access.md. With --check it only reports whether the table is stale.
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { root } from "./programs/run.ts";

const file = path.join(root, "docs/access.md");
const program = path.join(root, "apps/instance/src/testing/route-table.ts");
const begin = "<!-- Written by `node scripts/route-table.ts` from apps/instance/src/access. Don't edit it. -->\n";
const end = "<!-- End of what is written. -->\n";

const { stdout, stderr, status } = spawnSync(process.execPath, [program], { encoding: "utf8" });
if (status !== 0) throw new Error(`the table of routes could not be printed: ${stderr}`);
const text = readFileSync(file, "utf8");
const [first, last] = [text.indexOf(begin), text.indexOf(end)];
if (first === -1 || last < first) throw new Error("docs/access.md has no place for the table of routes");
const written = `${text.slice(0, first)}${begin}\n${stdout}\n${text.slice(last)}`;

if (!process.argv.includes("--check")) writeFileSync(file, written);
else if (written !== text) {
  console.error("docs/access.md: the table of routes is stale: run node scripts/route-table.ts");
  process.exitCode = 1;
}
