import { rm } from "node:fs/promises";
import { errorMessage } from "@airlock/job";
import pino, { type Logger } from "pino";
import { forgetLogins } from "./accounts/command-line-logins.ts";
import { KnownNamespaces } from "./accounts/namespaces.ts";
import { forgetAttempts } from "./accounts/sign-in-limits.ts";
import { forgetUserSessions } from "./accounts/user-sessions.ts";
import { collectBlobGarbage } from "./artifacts/collect-blob-garbage.ts";
import { forgetOldEntries } from "./audit/audit-log.ts";
import type { BlobStore } from "./blobs/blob-store.ts";
import { openBlobStore } from "./blobs/open-blob-store.ts";
import type { InstanceConfig } from "./config/instance-config.ts";
import { Dispatcher } from "./dispatch/dispatcher.ts";
import { forgetOldExecutors } from "./executors/executor-registry.ts";
import { forgetOldExecutorTokens, hasValidExecutorToken } from "./executors/executor-tokens.ts";
import { DataDirectory } from "./files/data-directory.ts";
import { writeFileAtomically } from "./files/write-file-atomically.ts";
import { forgetIdempotencyKeys } from "./http/rest-api/idempotency.ts";
import { forgetEndedSessions } from "./http/rest-api/sessions.ts";
import { close, createHttpServer, listen } from "./http/server.ts";
import { RefusalLog } from "./http/shared/refusal-log.ts";
import { Metrics } from "./metrics/metrics.ts";
import { forgetPushedMetrics } from "./metrics/pushed-metrics-store.ts";
import { OidcClient } from "./oidc/oidc-client.ts";
import { deleteSpentTokens, expireLeases } from "./queues/expire-leases.ts";
import { expireWaits } from "./queues/expire-waits.ts";
import { renewAllLeases } from "./queues/renew-leases.ts";
import { applyRetention } from "./queues/retention.ts";
import { RepositoryService } from "./repositories/repository-service.ts";
import { sealRepositories } from "./repositories/seal-repositories.ts";
import { openKeyring } from "./sealing/open-keyring.ts";
import { Sealer } from "./sealing/sealer.ts";
import { rotateKeys } from "./secrets/rotate-keys.ts";
import { forgetOldUses } from "./secrets/secret-audit.ts";
import { type Database, openDatabase } from "./store/database.ts";
import { EmbeddedPostgres } from "./store/embedded-postgres.ts";
import { Notifications } from "./store/notifications.ts";
import { getJobView } from "./views/job-views.ts";
import { forgetDeliveries } from "./webhooks/webhook-rows.ts";
import { WebhookSender } from "./webhooks/webhook-sender.ts";

export const version = "0.1.0";

/**
 * A running instance. Disposing ends long polls and streams, then everything else in order. Disposing twice is safe.
 */
export interface Instance extends AsyncDisposable {
  /** The URL that it listens on, e.g. `http://127.0.0.1:7080`. */
  readonly url: string;
  readonly administratorToken: string;
  readonly executorToken: string;
  readonly databaseUrl: string;
  /** Rejects with an AirlockError when the instance can't continue. Never resolves. */
  readonly failure: Promise<never>;
}

const sweepIntervalMs = 500;
const housekeepingIntervalMs = 60_000;
/**
 * Maximum time between two sweeps. After a longer gap, this instance or its database was away and missed heartbeats.
 */
const maximumSweepGapMs = 5000;
/**
 * Time for executors to ask for jobs again after the instance or its database was away. Until then, no job fails for
 * having waited too long.
 */
const reconnectMs = 10_000;

/**
 * Starts an instance and resolves once it listens.
 * @throws {AirlockError} for problems that the user can fix: a taken port, a data directory in use, no database.
 */
export async function startInstance(config: InstanceConfig): Promise<Instance> {
  await using stack = new AsyncDisposableStack();
  const logger = createLogger(config.logLevel);
  const data = stack.use(await DataDirectory.open(config.dataDirectory));
  const administratorToken = config.administratorToken ?? (await data.readOrCreateToken("token"));
  const executorToken = config.executorToken ?? (await data.readOrCreateToken("executor-token"));
  const postgres = config.databaseUrl === null ? stack.use(await startPostgres(data.path, logger)) : null;
  const databaseUrl = config.databaseUrl ?? postgres?.url ?? "";
  const stopping = new AbortController();
  const db = await openDatabase({
    url: databaseUrl,
    onIdleError: (error) => {
      // Connections may outlive the pool by a moment, until the database itself stops.
      if (!stopping.signal.aborted) logger.warn({ err: error }, "database connection lost");
    },
  });
  stack.defer(() => db.destroy());
  if (config.proxies.servers.length > 0) {
    const shown = config.proxies.servers.map(({ variable, url }) => `${variable}=${url.origin}`);
    logger.info({ proxies: shown }, "connections to code hosts and object storage go through proxies");
  }
  const blobs = stack.use(
    await openBlobStore(config.blobStorage, data.resolve("blobs"), {
      proxies: config.proxies,
      signal: stopping.signal,
    }),
  );
  const notifications = stack.use(
    new Notifications({
      url: databaseUrl,
      onError: (message) => logger.warn({ problem: message }, "notifications interrupted"),
    }),
  );
  const defaultFile = data.resolve("secret-key");
  const sealer = new Sealer(await openKeyring({ db, source: config.secretKeys, defaultFile }));
  await sealRepositories({ db, sealer });
  const { rotated } = await rotateKeys({ db, sealer });
  if (rotated > 0) logger.info({ rotated, keyId: sealer.keyId }, "secrets were re-encrypted with the newest key");
  const repositories = stack.use(
    await RepositoryService.open({
      db,
      sealer,
      directory: data.resolve("repositories"),
      executablePath: config.executablePath,
      allowLocal: config.allowLocalRepositories,
      limits: config.mirrorLimits,
      proxies: config.proxies,
      onError: (message) => logger.warn({ problem: message }, "repository fetch failed"),
    }),
  );
  const dispatcher = stack.use(
    new Dispatcher({
      db,
      notifications,
      onError: (message) => logger.warn({ problem: message }, "dispatch sweep failed"),
    }),
  );
  // Not an error: an administrator creates the first token through this instance.
  if (!config.acceptSharedSecret && !(await hasValidExecutorToken(db))) {
    logger.warn(
      "no executor can connect: the shared secret is off (AIRLOCK_SHARED_SECRET), and no executor token exists",
    );
  }
  const metrics = new Metrics();
  const oidc = config.openIdConnect && stack.use(new OidcClient(config.openIdConnect, config.proxies));
  // People can't sign in yet, but everything else works. Each sign-in tries again.
  oidc?.discover().catch((error: unknown) => {
    if (!stopping.signal.aborted) logger.warn({ problem: errorMessage(error) }, "the OpenID Connect provider is away");
  });
  const refusals = new RefusalLog(db);
  const app = await createHttpServer({
    config,
    version,
    logger,
    db,
    namespaces: new KnownNamespaces(db),
    refusals,
    blobs,
    notifications,
    dispatcher,
    repositories,
    metrics,
    sealer,
    oidc,
    administratorToken,
    sharedSecret: config.acceptSharedSecret ? executorToken : null,
    stopping: stopping.signal,
  });
  stack.defer(() => close(app));
  await renewAllLeases(db, { unlessHeard: true });
  let sweptAt = performance.now();
  let steadySince = sweptAt;
  stack.use(
    repeat(sweepIntervalMs, logger, async () => {
      if (performance.now() - sweptAt > maximumSweepGapMs) {
        steadySince = performance.now();
        await renewAllLeases(db, { unlessHeard: false });
      }
      const lapsed = await expireLeases(db).catch((error: unknown) => {
        metrics.sweepFailed();
        throw error;
      });
      for (const job of lapsed) {
        metrics.attemptEnded(job.queue, "lost", job.ranMs ?? 0);
        metrics.leaseLapsed(job.queue, job.state === "queued");
        dispatcher.attemptEnded(job.queue);
        logger.warn({ jobId: job.id, attempt: job.attempt, executor: job.executor, state: job.state }, "lease expired");
        notifications.publish({ kind: "job", job: job.id });
        if (job.state === "queued") notifications.publish({ kind: "queued", queue: job.queue });
      }
      sweptAt = performance.now();
    }),
  );
  stack.use(
    repeat(sweepIntervalMs, logger, async () => {
      const now = performance.now();
      if (now - sweptAt > maximumSweepGapMs || now - steadySince < reconnectMs) return;
      const explain = async (id: number) => (await getJobView(db, id, null))?.explanation.message ?? "";
      for (const job of await expireWaits(db, explain)) {
        logger.warn({ jobId: job.id, queue: job.queue }, "job failed: no executor took it in time");
        notifications.publish({ kind: "job", job: job.id });
      }
    }),
  );
  stack.use(
    repeat(housekeepingIntervalMs, logger, () =>
      housekeep({ config, db, blobs, repositories, refusals, signal: stopping.signal }),
    ),
  );
  const webhooks = stack.use(
    new WebhookSender({
      db,
      sealer,
      proxies: config.proxies,
      allowedHosts: config.webhookHosts,
      onError: (problem) => logger.warn({ problem }, "a delivery of a webhook could not be recorded"),
    }),
  );
  stack.use(repeat(sweepIntervalMs, logger, () => webhooks.takeDue()));
  const url = await listen(app, config.listen);
  await writeFileAtomically(data.resolve("instance.json"), `${JSON.stringify({ url, pid: process.pid })}\n`, 0o644);
  stack.defer(() => rm(data.resolve("instance.json"), { force: true }));
  // Deferred last, so it runs first. It releases waiting requests, for which closing would otherwise wait.
  stack.defer(async () => {
    stopping.abort(new Error("the instance is stopping"));
    await dispatcher[Symbol.asyncDispose]();
  });
  logger.info({ url, database: config.databaseUrl === null ? "embedded" : "external" }, "instance is listening");
  const resources = stack.move();
  return {
    url,
    administratorToken,
    executorToken,
    databaseUrl,
    failure: postgres?.failure ?? new Promise(() => {}),
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  };
}

function startPostgres(dataDirectory: string, logger: Logger): Promise<EmbeddedPostgres> {
  return EmbeddedPostgres.start({
    dataDirectory,
    onEvent: ({ kind, detail }) => {
      if (kind === "started") logger.info({ detail }, "database started");
      else logger.error({ detail }, kind === "died" ? "database exited unexpectedly" : "database restart failed");
    },
  });
}

interface Household {
  readonly config: InstanceConfig;
  readonly db: Database;
  readonly blobs: BlobStore;
  readonly repositories: RepositoryService;
  readonly refusals: RefusalLog;
  readonly signal: AbortSignal;
}

/** Runs every task, even if one fails, for example because the object storage is unreachable. */
async function housekeep({ config, db, blobs, repositories, refusals, signal }: Household): Promise<void> {
  const tasks = [
    () => deleteSpentTokens(db),
    () => forgetOldExecutors(db),
    () => forgetOldExecutorTokens(db),
    () => forgetOldUses(db),
    () => forgetPushedMetrics(db),
    () => forgetEndedSessions(db),
    () => forgetUserSessions(db),
    () => forgetAttempts(db),
    () => forgetLogins(db),
    () => forgetDeliveries(db),
    () => forgetIdempotencyKeys(db),
    () => refusals.sweep(),
    () => forgetOldEntries(db, config.auditRetentionMs, signal),
    () => applyRetention(db, config.retention, signal),
    () => collectBlobGarbage(db, blobs, signal),
    () => repositories.sweep(),
  ];
  const errors: unknown[] = [];
  for (const task of tasks) await task().catch((error: unknown) => errors.push(error));
  if (errors.length > 0) throw new Error(errors.map(errorMessage).join("; "));
}

/** Repeats `work`, but never runs it twice at once. Logs a failure and tries again in the next round. */
function repeat(intervalMs: number, logger: Logger, work: () => Promise<void>): AsyncDisposable {
  let running: Promise<void> | null = null;
  const timer = setInterval(() => {
    running ??= work()
      .catch((error: unknown) => logger.warn({ problem: errorMessage(error) }, "periodic work failed"))
      .finally(() => {
        running = null;
      });
  }, intervalMs);
  return {
    async [Symbol.asyncDispose]() {
      clearInterval(timer);
      await running;
    },
  };
}

function createLogger(level: InstanceConfig["logLevel"]): Logger {
  return pino({
    level,
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    // Library errors may contain the failed request, and PostgreSQL errors the row, which includes a job's environment.
    redact: ["*.headers.authorization", "*.headers.cookie", "err.config", "err.client", "err.detail", "err.where"],
  });
}
