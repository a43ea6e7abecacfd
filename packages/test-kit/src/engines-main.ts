import { once } from "node:events";
import { engineNames } from "./engines-contract.ts";
import { runEngines } from "./run-engines.ts";

// A process of its own, so that the end of the one that wants the engines, however sudden, is the end of its input here
// and everything is given back.
const finished = Promise.race([once(process.stdin.resume(), "end"), once(process, "SIGINT"), once(process, "SIGTERM")]);
const options = JSON.parse(process.argv[2] ?? "{}") as Parameters<typeof runEngines>[1];
await using running = await runEngines(new Set(engineNames.filter((name) => process.argv.includes(name, 3))), options);
// Whoever asked may be gone already.
process.stdout.on("error", () => {});
process.stdout.write(`${JSON.stringify({ engines: running.engines, directory: running.directory })}\n`);
await finished;
process.stdin.destroy();
