// `npm start`: makes sure that a sandbox technology is installed, builds the web UI, and runs `airlock dev` with the
// sample job on this checkout. `npm start -- --once` ends with the sample job's exit code. Other options are those of
// `airlock dev`.
import path from "node:path";
import { root, run } from "./programs/run.ts";
import { buildWebUi } from "./start/build-web-ui.ts";
import { repositoryToRun } from "./start/repository-to-run.ts";
import { requirePrograms } from "./start/require-programs.ts";

const args = process.argv.slice(2);
const dev = [path.join(root, "apps/cli/src/main.ts"), "dev"];

if (args.includes("--help") || args.includes("-h")) await become([...dev, "--help"]);

const missing = await requirePrograms(process.env);
if (missing) fail(missing.problem);
const failure = await buildWebUi();
if (failure) fail(`the web UI could not be built:\n${failure}`);
const dataDirectory = path.resolve(root, process.env.AIRLOCK_DATA_DIR || ".airlock");
const repository = repositoryToRun(root, dataDirectory);
if ("problem" in repository) fail(repository.problem);
await become([...dev, "--repo", repository.path, "--job", path.join(root, "examples/sample-job.yaml"), ...args]);

/**
 * Replaces this process by another program, which then gets its signals and sets its exit code. Where that is
 * impossible, runs it as a child.
 */
async function become(nodeArguments: readonly string[]): Promise<void> {
  if (process.execve && process.platform !== "win32") {
    process.execve(process.execPath, [process.execPath, ...nodeArguments], process.env);
  }
  process.exit(await run("node", nodeArguments));
}

function fail(problem: string): never {
  console.error(`airlock: ${problem}`);
  process.exit(1);
}
