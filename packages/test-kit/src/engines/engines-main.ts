import { once } from "node:events";
import { engineNames } from "./engines-contract.ts";
import { runEngines } from "./run-engines.ts";

// A separate process: when the process that needs the engines ends, even abruptly, this one's stdin ends and everything
// is cleaned up.
const finished = Promise.race([once(process.stdin.resume(), "end"), once(process, "SIGINT"), once(process, "SIGTERM")]);
const options = JSON.parse(process.argv[2] ?? "{}") as Parameters<typeof runEngines>[1];
await using running = await runEngines(new Set(engineNames.filter((name) => process.argv.includes(name, 3))), options);
// The parent process may have ended already.
process.stdout.on("error", () => {});
process.stdout.write(`${JSON.stringify({ engines: running.engines, directory: running.directory })}\n`);
await finished;
process.stdin.destroy();
