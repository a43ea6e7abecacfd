import { writeFile } from "node:fs/promises";
import { cpus, release, totalmem } from "node:os";
import { parseArgs } from "node:util";
import { toJson } from "./measuring/result.ts";
import { type Row, runRows } from "./measuring/run-rows.ts";
import { dispatch } from "./rows/dispatch.ts";
import { idleExecutor } from "./rows/idle-executor.ts";
import { isolation } from "./rows/isolation.ts";
import { job } from "./rows/job.ts";
import { killedExecutor } from "./rows/killed-executor.ts";
import { kubernetesJob } from "./rows/kubernetes-job.ts";
import { kubernetesScale } from "./rows/kubernetes-scale.ts";
import { liveLog } from "./rows/live-log.ts";
import { logIngest } from "./rows/log-ingest.ts";
import { logPipeline } from "./rows/log-pipeline.ts";
import { microvmBoot } from "./rows/microvm-boot.ts";
import { microvmDisk } from "./rows/microvm-disk.ts";
import { microvmJob } from "./rows/microvm-job.ts";
import { microvmMemory } from "./rows/microvm-memory.ts";
import { microvmPool } from "./rows/microvm-pool.ts";
import { parkedPolls } from "./rows/parked-polls.ts";
import { queue } from "./rows/queue.ts";
import { secondJob } from "./rows/second-job.ts";
import { stepDocker } from "./rows/step-docker.ts";
import { stepOci } from "./rows/step-oci.ts";

const rows: Readonly<Record<string, Row>> = {
  dispatch,
  "idle-executor": idleExecutor,
  isolation,
  job,
  "killed-executor": killedExecutor,
  "kubernetes-job": kubernetesJob,
  "kubernetes-scale": kubernetesScale,
  "log-ingest": logIngest,
  "live-log": liveLog,
  "log-pipeline": logPipeline,
  "microvm-boot": microvmBoot,
  "microvm-disk": microvmDisk,
  "microvm-job": microvmJob,
  "microvm-memory": microvmMemory,
  "microvm-pool": microvmPool,
  "parked-polls": parkedPolls,
  queue,
  "second-job": secondJob,
  "step-docker": stepDocker,
  "step-oci": stepOci,
};

const usage = `Usage: npm run bench -- [ROW…] [--rounds N] [--json FILE]

Measures Airlock and a lower bound or another program alternately, and prints medians, spread and ratios. Compare ratios
between runs, not times. If a row fails, the others still run, and the exit code is 1. Rows that measure the built
programs build them first.

Rows: ${Object.keys(rows).join(", ")} (default: all)

Options:
  --rounds N    counted rounds, 1…10000 (default: each row's own)
  --json FILE   write every measured value to FILE
  --help        print this help

Examples:
  npm run bench
  npm run bench -- step-oci --rounds 50
  npm run bench -- dispatch --json dispatch.json`;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { rounds: { type: "string" }, json: { type: "string" }, help: { type: "boolean" } },
});
const rounds = values.rounds === undefined ? null : Number(values.rounds);
const unknown = positionals.filter((name) => !Object.hasOwn(rows, name));

if (values.help) console.log(usage);
else if (unknown.length > 0 || (rounds !== null && !(Number.isInteger(rounds) && rounds >= 1 && rounds <= 10_000))) {
  console.error(unknown.length > 0 ? `unknown row: ${unknown.join(", ")}\n` : "--rounds takes 1…10000\n");
  console.error(usage);
  process.exitCode = 2;
} else await main(positionals.length > 0 ? positionals : Object.keys(rows));

async function main(names: readonly string[]): Promise<void> {
  const machine = {
    cpu: cpus()[0]?.model ?? "",
    cores: cpus().length,
    memory: totalmem(),
    kernel: release(),
    node: process.version,
  };
  console.log(`${machine.cpu}, ${machine.cores} cores, kernel ${machine.kernel}, Node ${machine.node}\n`);
  const chosen = new Map(names.flatMap((name) => (rows[name] ? [[name, rows[name]]] : [])));
  const { results, failures } = await runRows(chosen, { rounds, progress, print: (text) => console.log(text) });
  if (values.json !== undefined) await writeFile(values.json, toJson(results, machine));
  if (failures.length > 0) process.exitCode = 1;
}

function progress(text: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${text}`);
}
