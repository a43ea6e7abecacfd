import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import type { Runtime, Sandbox, SandboxPlan } from "@airlock/runtime";
import type { Subject } from "../measuring/paired.ts";

/** Longer than a runtime takes to prepare a step. */
const aheadMs = 100;
/** The script that every subject of a step row runs. */
const script = "echo hi\n";

/**
 * Two subjects on one runtime. `first step`: create the sandbox and run the first step of a job; disposal is not
 * measured. `further step`: run a step in a sandbox that has already run one.
 */
export async function sandboxSubjects(
  runtime: Runtime,
  image: string,
  egress: SandboxPlan["egress"] = { kind: "none" },
): Promise<{ readonly subjects: Subject[] } & AsyncDisposable> {
  await using cleanup = new AsyncDisposableStack();
  // Runtimes that share a network need different owners, like executors on one machine.
  const owner = `bench-${randomBytes(4).toString("hex")}`;
  const place: Place = { owner, egress };
  const lasting = cleanup.use(await openSandbox(runtime, place));
  const signal = new AbortController().signal;
  await lasting.prepareImage(image, { signal, progress: () => {} });
  await runEcho(lasting, image, image);

  const firstStep = async (): Promise<number> => {
    const startedAt = performance.now();
    await using sandbox = await openSandbox(runtime, place);
    await sandbox.prepareImage(image, { signal, progress: () => {} });
    await runEcho(sandbox, image);
    return performance.now() - startedAt;
  };
  const furtherStep = async (): Promise<number> => {
    const startedAt = performance.now();
    await runEcho(lasting, image, image);
    const ms = performance.now() - startedAt;
    // Let the runtime prepare the next step and clean up this one outside any measurement.
    await sleep(aheadMs);
    return ms;
  };
  const owned = cleanup.move();
  return {
    subjects: [
      { name: "first step", run: firstStep },
      { name: "further step", run: furtherStep },
    ],
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

interface Place {
  readonly owner: string;
  readonly egress: SandboxPlan["egress"];
}

async function openSandbox(runtime: Runtime, { owner, egress }: Place): Promise<Sandbox> {
  const id = `bench-${randomBytes(6).toString("hex")}`;
  return runtime.createSandbox(
    {
      id,
      owner,
      workspace: { checkout: null, files: [], readOnlyFiles: [] },
      limits: { cpus: 2, memoryBytes: 2 ** 30, pids: 512 },
      egress,
    },
    { signal: new AbortController().signal },
  );
}

/** @param nextImage as an executor passes it for a job that has another step. */
export async function runEcho(sandbox: Sandbox, image: string, nextImage?: string): Promise<void> {
  let text = "";
  const status = await sandbox.runStep(
    {
      key: "echo",
      image,
      files: [{ path: "0.sh", content: script, executable: true }],
      script: "/airlock/0.sh",
      workingDirectory: "/data",
      env: {},
    },
    {
      signal: new AbortController().signal,
      ...(nextImage === undefined ? {} : { nextImage }),
      output: (_stream, bytes) => {
        text += bytes.toString();
      },
    },
  );
  if (status.kind !== "exited" || status.exitCode !== 0 || text !== "hi\n") {
    throw new Error(`the step did not do its work: ${JSON.stringify(status)} ${JSON.stringify(text)}`);
  }
}
