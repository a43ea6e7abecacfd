import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, globSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { root, tool } from "../programs/run.ts";

const stamp = path.join(root, ".tsbuild", "web-ui.sha256");

/** Builds the web UI if it is missing or its sources have changed. Returns an error message, or null. */
export async function buildWebUi(): Promise<string | null> {
  const wanted = hashSources();
  const built = existsSync(path.join(root, "apps/web/dist/index.html")) && existsSync(stamp);
  if (built && readFileSync(stamp, "utf8") === wanted) return null;
  console.log("building the web UI …");
  const { code, output } = await runQuietly(process.execPath, [
    tool("vite/bin/vite.js"),
    "build",
    "--logLevel",
    "warn",
  ]);
  if (code !== 0) return output;
  mkdirSync(path.dirname(stamp), { recursive: true });
  writeFileSync(stamp, wanted);
  return null;
}

/** Patterns of all files that go into the web UI, relative to the project. */
export function webUiSources(): string[] {
  return [
    "apps/web/{src,public}/**/*",
    "apps/web/*.{html,ts,json}",
    // The documentation site.
    "docs/**/*.md",
    "*.md",
    "scripts/help/*.ts",
    ...packagesOf("apps/web").map((name) => `packages/${name}/src/**/*.ts`),
    "package-lock.json",
  ];
}

/** The project's own packages on which a package depends, directly or not. */
function packagesOf(directory: string, found = new Set<string>()): string[] {
  const { dependencies = {} } = JSON.parse(readFileSync(path.join(root, directory, "package.json"), "utf8"));
  for (const dependency of Object.keys(dependencies)) {
    const name = /^@airlock\/(.+)$/.exec(dependency)?.[1];
    if (name === undefined || found.has(name)) continue;
    found.add(name);
    packagesOf(`packages/${name}`, found);
  }
  return [...found].sort();
}

function hashSources(): string {
  const hash = createHash("sha256");
  const files = globSync(webUiSources(), { cwd: root, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.join(entry.parentPath, entry.name));
  for (const file of files.sort()) hash.update(`${path.relative(root, file)}\0`).update(readFileSync(file));
  return hash.digest("hex");
}

function runQuietly(
  program: string,
  args: readonly string[],
): Promise<{ readonly code: number; readonly output: string }> {
  const child = spawn(program, args, { cwd: path.join(root, "apps/web"), stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (bytes) => (output += bytes));
  return new Promise((resolve) => {
    child.on("error", (error) => resolve({ code: 1, output: String(error) }));
    child.on("close", (code) => resolve({ code: code ?? 1, output }));
  });
}
