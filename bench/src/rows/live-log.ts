/// <reference lib="dom" />
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { createDatabase, startEngines, temporaryDirectory } from "@airlock/test-kit";
import { chromium } from "playwright-core";
import type { BenchOptions } from "../measuring/bench-options.ts";
import { buildPrograms } from "../measuring/build-programs.ts";
import { percentile } from "../measuring/paired.ts";
import type { BenchResult } from "../measuring/result.ts";
import { startExecutor } from "./bench-executor.ts";
import { administratorToken, startInstance } from "./bench-instance.ts";
import { rest, submitJob, untilJob } from "./jobs.ts";

const targetP50Ms = 100;
/** Pause between two lines, longer than any buffer on the way waits for more data. */
const pauseSeconds = 0.4;
const flags = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"];

/** Time from a step printing a line, which contains the time, until the browser has painted it on the job's page. */
export async function liveLog(options: BenchOptions): Promise<BenchResult> {
  const rounds = options.rounds ?? 40;
  const web = path.join(await buildPrograms(options.progress), "web");
  await using cleanup = new AsyncDisposableStack();
  options.progress("starting PostgreSQL, an instance, an executor and a browser");
  const { engines } = cleanup.use(await startEngines(["postgres", "oci", "chromium"]));
  if (!engines.postgres || !engines.chromium) throw new Error("this row needs PostgreSQL and Chromium");
  const directory = cleanup.use(await temporaryDirectory("airlock-bench-"));
  const database = cleanup.use(await createDatabase(engines.postgres.url));
  const instance = cleanup.use(await startInstance(database.url, [], { AIRLOCK_WEB_DIR: web }));
  cleanup.use(await startExecutor(instance, { dataDir: path.join(directory.path, "executor"), label: "one" }));
  const { executablePath } = engines.chromium;
  const browser = await chromium.launch({ executablePath, args: flags });
  cleanup.defer(() => browser.close());
  const page = await browser.newPage();
  await page.goto(`${instance.url}/login#token=${administratorToken}`);
  await page.waitForURL("**/jobs");

  const script = `while :; do echo "printed $(date +%s%3N)"; sleep ${pauseSeconds}; done`;
  const id = await submitJob(instance.url, { steps: [{ image: "host", run: script }] });
  cleanup.defer(async () => {
    const ended = untilJob(instance.url, id, ({ state }) => state === "canceled");
    await Promise.all([ended, rest(instance.url, "POST", `/jobs/${id}/cancel`)]);
  });
  await page.goto(`${instance.url}/jobs/${id}`);
  const log = page.getByRole("log", { name: "Output" });
  await log.getByText("printed").first().waitFor();
  await log.evaluate(collectDelays);
  const warmup = 3;
  for (let seen = 0; seen < rounds + warmup; ) {
    await sleep(500);
    seen = await page.evaluate(() => window.delays.length);
    options.progress(`line ${Math.max(0, seen - warmup)} of ${rounds}`);
  }
  const values = (await page.evaluate(() => window.delays)).slice(warmup, warmup + rounds);
  const p50 = percentile(values, 50);
  return {
    bench: "live-log: a step prints → the browser shows",
    rounds,
    samples: [{ name: "line", values }],
    comparisons: [],
    notes: [
      `Target: p50 ≤ ${targetP50Ms} ms: ${p50 <= targetP50Ms ? "reached" : "missed"}. Step, executor, instance and Chromium share this machine and its clock (whole ms).`,
    ],
  };
}

declare global {
  interface Window {
    /** Delays in milliseconds, one per line that arrived since the page was told to watch. */
    delays: number[];
  }
}

/** Runs in the page. */
function collectDelays(log: Element): void {
  const seen = new Set<string>();
  const look = (isFirst: boolean) => {
    for (const [text, printedAt] of (log.textContent ?? "").matchAll(/printed (\d{13})/g)) {
      if (seen.has(text)) continue;
      seen.add(text);
      // The text is visible once the next frame is painted.
      if (!isFirst) requestAnimationFrame(() => window.delays.push(Date.now() - Number(printedAt)));
    }
  };
  window.delays = [];
  look(true);
  new MutationObserver(() => look(false)).observe(log, { childList: true, subtree: true, characterData: true });
}
