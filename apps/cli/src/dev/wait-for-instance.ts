import { readFile } from "node:fs/promises";
import path from "node:path";
import { pause } from "@airlock/async";
import { AirlockError } from "@airlock/job";
import { z } from "zod";

/** Content of `DATA_DIR/instance.json`, which the instance writes when it listens. */
const InstanceFile = z.object({ url: z.url(), pid: z.int() });

export interface InstanceAccess {
  readonly url: string;
  /** The administrator's token. */
  readonly token: string;
  readonly executorToken: string;
}

const pollMs = 25;

/** Waits until the instance with this process id answers, or until the signal is aborted. */
export async function waitForInstance(options: {
  readonly dataDirectory: string;
  readonly pid: number;
  readonly env: NodeJS.ProcessEnv;
  readonly signal: AbortSignal;
}): Promise<InstanceAccess> {
  const { dataDirectory, env, signal } = options;
  const file = path.join(dataDirectory, "instance.json");
  for (;;) {
    signal.throwIfAborted();
    const found = InstanceFile.safeParse(parseJson(await readFile(file, "utf8").catch(() => "")));
    // The file of an earlier instance that was killed may still exist.
    if (found.success && found.data.pid === options.pid && (await isHealthy(found.data.url, signal))) {
      return {
        url: found.data.url,
        token: env.AIRLOCK_TOKEN || (await readToken(path.join(dataDirectory, "token"))),
        executorToken: env.AIRLOCK_EXECUTOR_TOKEN || (await readToken(path.join(dataDirectory, "executor-token"))),
      };
    }
    if (!(await pause(pollMs, signal))) signal.throwIfAborted();
  }
}

async function isHealthy(url: string, signal: AbortSignal): Promise<boolean> {
  try {
    const response = await fetch(new URL("healthz", url.endsWith("/") ? url : `${url}/`), { signal });
    await response.body?.cancel();
    return response.ok;
  } catch {
    // Not listening or not healthy yet. waitForInstance asks again; its caller notices if the process ends.
    return false;
  }
}

async function readToken(file: string): Promise<string> {
  const token = (await readFile(file, "utf8")).trim();
  if (token !== "") return token;
  throw new AirlockError(`${file} is empty`, { code: "no-token", hint: "Remove it and start again." });
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
