// Runs a TypeScript file of this project with the project's own Node (npm package `node`). First installs dependencies
// if they are missing or older than the lock file. It must run on any Node from 18 on, so it is plain JavaScript that
// imports only Node's modules.
import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
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
const isInstalled = () => existsSync(nodePath) && existsSync(stampPath) && readFileSync(stampPath, "utf8") === wanted;

if (!isInstalled()) {
  // Two commands that install at the same time would write the same files.
  const unlock = lockInstallation();
  const isDone = isInstalled() || install();
  unlock();
  if (!isDone) process.exit(1);
}

/** Returns whether everything is installed. */
function install() {
  console.error("airlock: installing dependencies, once …");
  const npm = process.env.npm_execpath ? [process.execPath, process.env.npm_execpath] : ["npm"];
  // `--no-save` installs the lock file's versions without changing it. `npm ci` would too, but it refuses a lock file
  // that lacks optional packages of platforms that the registry does not carry. Show errors only: warnings about
  // engines concern the machine's Node, which does not run the project.
  const args = ["install", "--no-save", "--no-audit", "--no-fund", "--loglevel=error"];
  const result = spawnSync(npm[0], [...npm.slice(1), ...args], {
    cwd: root,
    stdio: ["ignore", 2, 2],
  });
  if (result.status !== 0 || !existsSync(nodePath)) {
    console.error(
      "airlock: `npm install` failed; its output is above. Check that the npm registry is in reach, then run it again.",
    );
    return false;
  }
  writeFileSync(stampPath, wanted);
  return true;
}

/** Waits until no other process installs. Returns a function that lets the next one go on. */
function lockInstallation() {
  const lockPath = path.join(root, ".airlock", "installing");
  mkdirSync(path.dirname(lockPath), { recursive: true });
  for (let waited = 0; ; waited += 1) {
    try {
      writeFileSync(lockPath, String(process.pid), { flag: "wx" });
      return () => rmSync(lockPath, { force: true });
    } catch (error) {
      if (error.code !== "EEXIST") throw error;
    }
    if (isAbandoned(lockPath)) rmSync(lockPath, { force: true });
    else if (waited === 0) console.error("airlock: waiting for another command that installs dependencies …");
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 200);
  }
}

/** Whether the process that wrote the lock is gone. Its number may belong to another process since. */
function isAbandoned(lockPath) {
  const longestInstallationMs = 30 * 60_000;
  try {
    if (Date.now() - statSync(lockPath).mtimeMs > longestInstallationMs) return true;
    const pid = Number(readFileSync(lockPath, "utf8"));
    // Empty for a moment, until its writer has written its number.
    if (pid > 0) process.kill(pid, 0);
    return false;
  } catch (error) {
    return error.code === "ESRCH";
  }
}

const child = spawn(nodePath, [path.resolve(root, script), ...args], {
  cwd: root,
  stdio: "inherit",
  env: { ...process.env, PATH: `${path.dirname(nodePath)}${path.delimiter}${process.env.PATH ?? ""}` },
});
// The terminal sends Ctrl-C to the whole process group. It ends the child, and this process waits for it.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
  process.on(signal, () => {
    if (signal !== "SIGINT" || !process.stdin.isTTY) child.kill(signal);
  });
}
child.on("exit", (code, signal) => process.exit(signal ? 128 + (constants.signals[signal] ?? 0) : (code ?? 1)));
