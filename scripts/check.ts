// All static checks: types, lint and format, dependency rules, generated documents, promises without a test, dead code.
import { run, tool } from "./programs/run.ts";

const checks = [
  { name: "types", args: [tool("typescript/bin/tsc"), "-b"] },
  { name: "lint and format", args: [tool("@biomejs/biome/bin/biome"), "check", "--error-on-warnings", "."] },
  { name: "dependency rules", args: ["scripts/check-dependencies.ts"] },
  { name: "generated documents", args: ["scripts/executor-configuration.ts", "--check"] },
  { name: "values of charts", args: ["scripts/helm-values.ts", "--check"] },
  { name: "routes and roles", args: ["scripts/route-table.ts", "--check"] },
  { name: "schema of batch specs", args: ["scripts/batch-spec-schema.ts", "--check"] },
  { name: "error codes", args: ["scripts/error-codes.ts", "--check"] },
  { name: "job file reference", args: ["scripts/job-file-reference.ts", "--check"] },
  { name: "links and navigation of documents", args: ["scripts/help.ts"] },
  { name: "promises and their proofs", args: ["scripts/proofs.ts", "--check"] },
  { name: "dead code", args: [tool("knip/bin/knip.js"), "--no-progress"] },
] as const;

let failed = 0;
for (const check of checks) {
  const startedAt = performance.now();
  const code = await run("node", check.args);
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
  console.log(`${code === 0 ? "✔" : "✖"} ${check.name} (${seconds} s)`);
  if (code !== 0) failed += 1;
}
process.exitCode = failed === 0 ? 0 : 1;
