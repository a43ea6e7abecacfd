// Writes docs/batch-spec.schema.json, for editors. With --check it only reports whether the file is stale.
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { batchSpecJsonSchema } from "@airlock/batch-spec";
import { root } from "./programs/run.ts";

const file = path.join(root, "docs/batch-spec.schema.json");
const text = `${JSON.stringify(batchSpecJsonSchema(), null, 2)}\n`;
if (!process.argv.includes("--check")) writeFileSync(file, text);
else if (!existsSync(file) || readFileSync(file, "utf8") !== text) {
  console.error("docs/batch-spec.schema.json is stale: run node scripts/batch-spec-schema.ts");
  process.exitCode = 1;
}
