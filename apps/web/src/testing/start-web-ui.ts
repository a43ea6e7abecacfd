import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { engines, InstanceProcess } from "@airlock/test-kit";
import { type Browser, type BrowserContext, chromium, type Page } from "playwright-core";
import { build, type InlineConfig } from "vite";
import { ScriptedExecutor, type ScriptedJob } from "./scripted-executor.ts";

const browserFlags = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--no-first-run",
  "--disable-background-networking",
];

/** A built web UI on an instance of its own, a browser that is logged in, and a scripted executor. */
export interface WebUi extends AsyncDisposable {
  readonly instance: InstanceProcess;
  readonly executor: ScriptedExecutor;
  /** A page in a new session of the browser. */
  open(options?: Parameters<Browser["newContext"]>[0]): Promise<Page>;
  submit(spec: Record<string, unknown>): Promise<number>;
  /** Submits a job and lets the executor take it. */
  startJob(spec?: Record<string, unknown>): Promise<ScriptedJob>;
}

export interface WebUiOptions {
  /** `HOST:PORT` of the instance. Default: a free port of 127.0.0.1. */
  readonly listen?: string;
  /** Further variables of the instance. */
  readonly env?: Readonly<Record<string, string>>;
}

export async function startWebUi({ listen, env }: WebUiOptions = {}): Promise<WebUi> {
  await using onFailure = new AsyncDisposableStack();
  const directory = await mkdtemp(path.join(tmpdir(), "airlock-web-"));
  onFailure.defer(() => rm(directory, { recursive: true, force: true }));
  const outDir = path.join(directory, "dist");
  await buildAsReleased({
    root: path.resolve(import.meta.dirname, "../.."),
    logLevel: "error",
    build: { outDir, emptyOutDir: true },
  });
  const instance = onFailure.use(
    await InstanceProcess.start({
      dataDirectory: path.join(directory, "data"),
      ...(listen === undefined ? {} : { listen }),
      env: { AIRLOCK_WEB_DIR: outDir, ...env },
    }),
  );
  // The scripted executor sends no heartbeats during a test.
  await instance.rest("PATCH", "/queues/default", { leaseMs: 600_000 });
  const executablePath = engines().chromium?.executablePath ?? "";
  const browser = await chromium.launch({ executablePath, args: browserFlags });
  onFailure.defer(() => browser.close());
  const session = await logIn(browser, instance);
  const executor = new ScriptedExecutor({ ...instance, name: "build-01" });
  const submit = async (spec: Record<string, unknown>) => {
    const steps = [{ key: "test", image: "alpine:3", run: "true" }];
    const response = await fetch(`${instance.url}/api/v1/jobs`, {
      method: "POST",
      headers: { authorization: `Bearer ${instance.administratorToken}`, "content-type": "application/json" },
      body: JSON.stringify({ steps, ...spec }),
    });
    if (!response.ok) throw new Error(`the job was answered ${response.status}: ${await response.text()}`);
    return ((await response.json()) as { id: number }).id;
  };
  const resources = onFailure.move();
  return {
    instance,
    executor,
    submit,
    async open(options = {}) {
      const context = await browser.newContext({ storageState: session, ...options });
      context.setDefaultTimeout(30_000);
      return context.newPage();
    },
    async startJob(spec = {}) {
      await submit(spec);
      return executor.dequeue();
    },
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  };
}

/** Builds with the production version of React. Vite would take the development version where Vitest sets the environment. */
async function buildAsReleased(config: InlineConfig): Promise<void> {
  const before = process.env.NODE_ENV;
  process.env.NODE_ENV = "production";
  try {
    await build(config);
  } finally {
    process.env.NODE_ENV = before;
  }
}

async function logIn(
  browser: Browser,
  instance: InstanceProcess,
): Promise<Awaited<ReturnType<BrowserContext["storageState"]>>> {
  const context = await browser.newContext();
  const page = await context.newPage();
  await page.goto(`${instance.url}/login#token=${instance.administratorToken}`);
  await page.waitForURL("**/jobs");
  const state = await context.storageState();
  await context.close();
  return state;
}
