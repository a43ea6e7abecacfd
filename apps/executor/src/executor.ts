import { randomUUID } from "node:crypto";
import { arch, platform } from "node:os";
import { type ExecutorCapability, type ExecutorRestriction, executorCapabilities } from "@airlock/api";
import { onAbort } from "@airlock/async";
import type { Runtime, RuntimeDescription } from "@airlock/runtime";
import type { Logger } from "pino";
import type { Config } from "./config/options.ts";
import { executorVersion } from "./instance-client/executor-version.ts";
import { InstanceClient } from "./instance-client/instance-client.ts";
import { JobClient } from "./instance-client/job-client.ts";
import { openDataDirectory } from "./janitor/data-directory.ts";
import { executorName } from "./janitor/executor-name.ts";
import { Janitor } from "./janitor/janitor.ts";
import { egressWarning } from "./job/egress-plan.ts";
import { planUsualJob } from "./job/job-plan.ts";
import { limitsWarning } from "./job/limits-enforcement.ts";
import { readPayload } from "./job/read-payload.ts";
import { runJob } from "./job/run-job.ts";
import { runtimePrograms } from "./versions/runtime-programs.ts";
import { refuseUnsafeVersions, versionFindings } from "./versions/version-findings.ts";
import { auditedPayload } from "./worker/audited-payload.ts";
import { startHealthServer } from "./worker/health-server.ts";
import { HeldJobs } from "./worker/held-jobs.ts";
import { IdleMemory } from "./worker/idle-memory.ts";
import { Metrics } from "./worker/metrics.ts";
import { offeredSize } from "./worker/offered-size.ts";
import type { StopExecutor } from "./worker/stop-signals.ts";
import { Worker } from "./worker/worker.ts";
import { openWorkspaces } from "./workspace/open-workspaces.ts";

export interface ExecutorDependencies {
  readonly config: Config;
  readonly logger: Logger;
  /**
   * Called once, with the directory that the runtime may use. The runtime calls `onProblem` when the network rules of
   * jobs fail outside of a job's run.
   */
  readonly createRuntime: (
    stateDir: string,
    signal: AbortSignal,
    onProblem: (problem: string) => void,
  ) => Promise<Runtime>;
  /** Called when `stop` may be connected to signals. */
  readonly onReadyToStop: (stop: StopExecutor) => void;
}

/** Runs the whole executor: opens the data directory, works until it is told to stop, and releases everything. */
export async function runExecutor({
  config,
  logger,
  createRuntime,
  onReadyToStop,
}: ExecutorDependencies): Promise<void> {
  const stopping = new AbortController();
  const { signal } = stopping;
  await using stack = new AsyncDisposableStack();
  const data = stack.use(await openDataDirectory(config.dataDir));
  const metrics = new Metrics(queueNames(config));
  const runtime = await createRuntime(data.runtimeDir, signal, (problem) => {
    metrics.countEgressProblem();
    logger.warn({ problem }, "networks of jobs");
  });
  stack.defer(() => runtime.close());
  const description = await runtime.describe({ signal });
  const withoutLimits = limitsWarning(config.runtime.unenforcedLimits, description);
  if (withoutLimits !== null) logger.warn({ hint: withoutLimits }, "limits can't be enforced");
  const withoutNetwork = egressWarning(config.job.egress, description);
  if (withoutNetwork !== null) logger.warn({ hint: withoutNetwork }, "egress policies can't be enforced");
  for (const note of description.notes) {
    if (note !== description.egressProblem && note !== description.limitsProblem)
      logger.info({ note }, "about this machine");
  }

  const { servicesProblem } = description;
  if (servicesProblem !== undefined) {
    logger.info({ note: `Jobs with \`upload\` go to other executors. ${servicesProblem}` }, "about this machine");
  }

  const { git, gitVersion, trash, repositories, jobDirectories } = await openWorkspaces(
    { config, data, description, logger, signal },
    stack,
  );
  const programs = [{ name: "git", version: gitVersion }, ...runtimePrograms(runtime.name, description)];
  const unsafe = versionFindings(programs);
  refuseUnsafeVersions(config.minimumVersions, unsafe);
  for (const { program, message, hint } of unsafe)
    logger.warn({ program, finding: message, hint }, "a program on this machine has known vulnerabilities");

  const client = new InstanceClient(
    config.instance,
    await executorName(config.dataDir),
    (operation, failed, durationMs) => metrics.countRequest(operation, failed, durationMs),
    offeredCapabilities(description),
  );
  stack.defer(() => client.close());
  const activeSandboxes = new Set<string>();
  const memory = new IdleMemory();
  memory.idle();
  const worker = new Worker({
    client,
    options: config.worker,
    telemetry: telemetryOf(config, runtime, description, gitVersion),
    resources: {
      numCPUs: config.job.maximumCpus,
      memory: offeredSize(config.job.maximumMemoryBytes),
      ...(config.job.maximumDiskBytes === null ? {} : { diskSpace: offeredSize(config.job.maximumDiskBytes) }),
    },
    runtimeAnswers: async (answerSignal) => (await runtime.answers?.({ signal: answerSignal })) ?? true,
    runJob: async (job, jobSignal) => {
      memory.busy();
      if (config.auditJobs) logger.info({ payload: auditedPayload(job) }, "job payload");
      return await runJob(
        { input: readPayload(job.payload), instance: new JobClient(client, job) },
        {
          runtime,
          enforcement: description,
          jobDirectories,
          git,
          owner: data.owner,
          activeSandboxes,
          countDenial: (kind) => metrics.countDenial(kind),
          countCommand: (key, exitCode, durationMs) => metrics.countCommand(key, exitCode, durationMs),
          countIncompleteLog: () => metrics.countIncompleteLog(),
          spoolDir: data.spoolDir,
          options: config.job,
          sharedSecret: config.instance.sharedSecret,
          logger: logger.child({ job: job.payload.id }),
        },
        jobSignal,
      ).finally(() => {
        // This job still counts as running until its outcome has been reported, hence `<= 1`.
        if (worker.runningJobs <= 1) memory.idle();
      });
    },
    heldJobs: new HeldJobs(data.heldJobsDir),
    metrics,
    logger,
  });
  if (config.health) {
    const isHealthy = () => worker.isHealthy;
    const metricsText = () => metrics.text(worker.runningJobs);
    const server = stack.use(await startHealthServer({ ...config.health, isHealthy, metrics: metricsText }));
    logger.info({ port: server.port }, "health server is listening");
  }

  onReadyToStop({
    drain: (why) => worker.drain(why),
    now: (why) => worker.stopNow(why),
  });
  const janitor = new Janitor({
    owner: data.owner,
    dataDir: config.dataDir,
    runtime,
    activeSandboxes,
    jobsDir: data.jobsDir,
    jobDirectories,
    trash,
    repositories,
    intervalMs: config.janitor.intervalMs,
    logger,
  });
  const predecessorCollected = await janitor.round(signal);
  const { poolSize } = config.runtime.microvm;
  if (poolSize > 0 && runtime.keepReady) {
    const like = planUsualJob(config.job, description);
    const ready = stack.use(runtime.keepReady({ owner: data.owner, count: poolSize, like }));
    metrics.watchReady(() => ready.counts);
    // Sandboxes that no job can take any more only need memory.
    stack.use(onAbort(worker.draining, () => void ready[Symbol.asyncDispose]()));
  }
  const rounds = janitor.run(signal);
  stack.defer(async () => {
    stopping.abort(new Error("the executor is exiting"));
    await rounds;
  });
  await worker.run({ predecessorCollected });
  logger.info("the executor is exiting");
}

function queueNames({ instance: { queues } }: Config): readonly string[] {
  return queues.kind === "one" ? [queues.name] : queues.names;
}

/** What this machine lacks is not offered, so that such jobs go to other executors. */
function offeredCapabilities({
  servicesProblem,
  dockerProblem,
  hasHostImage,
}: RuntimeDescription): readonly (ExecutorCapability | ExecutorRestriction)[] {
  const lacking = new Set<ExecutorCapability>([
    ...(servicesProblem === undefined ? [] : (["uploads"] as const)),
    ...(dockerProblem === null ? [] : (["docker"] as const)),
  ]);
  const restrictions = hasHostImage ? [] : (["container-images-only"] as const);
  return [...executorCapabilities.filter((name) => !lacking.has(name)), ...restrictions];
}

function telemetryOf(config: Config, runtime: Runtime, description: RuntimeDescription, gitVersion: string) {
  return {
    os: platform(),
    architecture: arch() === "x64" ? "amd64" : arch(),
    dockerVersion: runtime.name === "docker" ? description.version : "",
    executorVersion,
    gitVersion,
    igniteVersion: "",
    srcCliVersion: "",
    airlock: {
      runtime: runtime.name,
      runtimeVersion: description.version,
      slots: config.worker.slots,
      labels: { ...config.worker.labels },
      process: randomUUID(),
    },
  };
}
