// Runs a TypeScript file of this project with the Node that the project brings (npm package `node`), after installing
// dependencies where they are missing or older than the lock file. Runs itself on any Node from 18 on, so it is plain
// JavaScript without imports from outside Node.
import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { constants } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const nodePath = path.join(root, "node_modules", "node", "bin", "node");
const stampPath = path.join(root, "node_modules", ".airlock-installed");
const [script, ...args] = process.argv.slice(2);

const wanted = createHash("sha256")
  .update(readFileSync(path.join(root, "package-lock.json")))
  .digest("hex");
const installed = existsSync(nodePath) && existsSync(stampPath) ? readFileSync(stampPath, "utf8") : "";
if (installed !== wanted) {
  console.error("airlock: installing dependencies, once …");
  const npm = process.env.npm_execpath ? [process.execPath, process.env.npm_execpath] : ["npm"];
  // `--no-save` installs what the lock file names and leaves it as it is, like `npm ci`, which however refuses a lock file
  // without the optional packages of platforms that a registry does not carry. Errors only: engine warnings speak of the
  // machine's own Node, and what runs the project is the one that this brings.
  const args = ["install", "--no-save", "--no-audit", "--no-fund", "--loglevel=error"];
  const result = spawnSync(npm[0], [...npm.slice(1), ...args], {
    cwd: root,
    stdio: ["ignore", 2, 2],
  });
  if (result.status !== 0 || !existsSync(nodePath)) {
    console.error(
      "airlock: `npm install` failed; its output is above. Check that the npm registry is in reach, then run it again.",
    );
    process.exit(1);
  }
  writeFileSync(stampPath, wanted);
}

const child = spawn(nodePath, [path.resolve(root, script), ...args], {
  cwd: root,
  stdio: "inherit",
  env: { ...process.env, PATH: `${path.dirname(nodePath)}${path.delimiter}${process.env.PATH ?? ""}` },
});
// The terminal sends Ctrl-C to the whole group: the child ends by it, and this one waits for the child.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
  process.on(signal, () => {
    if (signal !== "SIGINT" || !process.stdin.isTTY) child.kill(signal);
  });
}
child.on("exit", (code, signal) => process.exit(signal ? 128 + (constants.signals[signal] ?? 0) : (code ?? 1)));
