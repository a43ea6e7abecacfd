import { parseArgs } from "node:util";
import { runChaos } from "./run-chaos.ts";

const usage = `Usage: npm run chaos -- [options]

Runs short jobs on several executors and instances while executors, instances and PostgreSQL are killed (SIGKILL) and
connections are cut, at random from the seed. Exits with 0 if every job ended exactly once with its whole log and
nothing was left on the machine. Needs root, PostgreSQL of the distribution, and what the runtime needs.

Options:
  --seed N        the plan's seed (default: from the clock; printed)
  --jobs N        default 200
  --executors N   default 3
  --instances N   default 2
  --runtime NAME  oci (default) or microvm
  --patience N    factor of the time between faults (default: 1 for oci, 6 for microvm)
  --keep          keeps the data directories and logs

Example:
  npm run chaos -- --seed 42 --jobs 300`;

const { values } = parseArgs({
  options: {
    seed: { type: "string" },
    jobs: { type: "string", default: "200" },
    executors: { type: "string", default: "3" },
    instances: { type: "string", default: "2" },
    runtime: { type: "string", default: "oci" },
    patience: { type: "string" },
    keep: { type: "boolean", default: false },
    help: { type: "boolean" },
  },
});

if (values.help) console.log(usage);
else {
  const number = (name: "jobs" | "executors" | "instances" | "seed" | "patience", text: string): number => {
    const value = Number(text);
    if (!Number.isSafeInteger(value) || value < 1) {
      console.error(`--${name} takes a whole number from 1\n\n${usage}`);
      process.exit(2);
    }
    return value;
  };
  const { runtime } = values;
  if (runtime !== "oci" && runtime !== "microvm") {
    console.error(`--runtime takes oci or microvm\n\n${usage}`);
    process.exit(2);
  }
  const seed = number("seed", values.seed ?? String(Date.now() % 1_000_000_000));
  console.log(`seed ${seed}`);
  const report = await runChaos({
    seed,
    runtime,
    ...(values.patience === undefined ? {} : { patience: number("patience", values.patience) }),
    jobs: number("jobs", values.jobs),
    executors: number("executors", values.executors),
    instances: number("instances", values.instances),
    slots: 2,
    timeoutMs: 3_600_000,
    keep: values.keep,
    progress: (text) => {
      if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${text.slice(0, 150)}`);
    },
  });
  if (process.stderr.isTTY) process.stderr.write("\r\x1b[K");
  const sorted = [...report.recoveryMs].sort((a, b) => a - b);
  console.log(`${report.jobs} jobs, ${report.attempts} attempts, ${report.seconds.toFixed(0)} s`);
  console.log(
    `blows: ${Object.entries(report.blows)
      .map(([victim, count]) => `${count} ${victim}`)
      .join(", ")}`,
  );
  if (sorted.length > 0) {
    const at = (share: number) =>
      ((sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0) / 1000).toFixed(1);
    console.log(`executor's death → next attempt: median ${at(0.5)} s, max ${at(1)} s, ${sorted.length} times`);
  }
  console.log(`faults: ${report.faults.length}, leftovers: ${report.leftovers.length}`);
  for (const line of [...report.faults, ...report.leftovers]) console.log(`  ${line}`);
  if (values.keep) console.log(`kept: ${report.directory}`);
  process.exitCode = report.faults.length + report.leftovers.length === 0 ? 0 : 1;
}
