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

function hashSources(): string {
  const hash = createHash("sha256");
  const patterns = [
    "apps/web/{src,public}/**/*",
    "apps/web/*.{html,ts,json}",
    "packages/{api,job}/src/**/*.ts",
    "package-lock.json",
  ];
  const files = globSync(patterns, { cwd: root, withFileTypes: true })
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
