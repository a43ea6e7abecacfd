import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { chmod, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import {
  busyboxImage,
  describeWithEngines,
  dockerArchive,
  type EngineName,
  engines,
  loadImage,
  temporaryDirectory,
} from "@airlock/test-kit";
import { describe, expect, it, vi } from "vitest";
import { findOnSystemPath } from "./host/find-program.ts";
import { selectRuntime } from "./select-runtime.ts";
import type { StepOrder } from "./testing/killed/step-order.ts";

const program = fileURLToPath(new URL("testing/killed/run-step-main.ts", import.meta.url));
const nobody = { uid: 65_534, gid: 65_534 };
const image = "killed-executor:1";
const endMs = 10_000;

/** Each ends with a `sleep` whose argument is the mark by which the host finds it. */
const scripts = {
  "runs and has daemons": (mark: string) => `setsid sleep ${mark} & sleep ${mark} & echo ready; sleep ${mark}`,
  "ignores every signal": (mark: string) =>
    `trap '' HUP INT TERM QUIT USR1 USR2; setsid sh -c "trap '' TERM HUP; sleep ${mark}; sleep ${mark}" & echo ready; sleep ${mark}; sleep ${mark}`,
  "stops all other processes of the sandbox": (mark: string) =>
    `sleep ${mark} & (sleep 0.5; kill -STOP 1; kill -STOP -1; echo ready) & sleep ${mark}`,
  "holds the connections open by which the sandbox detects the executor's end": (mark: string) =>
    `for file in /proc/[0-9]*/fd/[0-9]*; do
       (exec 9>>"$file"; exec sleep ${mark}) 2>/dev/null & (exec 9<>"$file"; exec sleep ${mark}) 2>/dev/null &
     done; sleep 1; echo ready; sleep ${mark}`,
};

/** Where the program's runtime is made, and by whom. */
interface Target extends AsyncDisposable {
  readonly order: Omit<StepOrder, "script" | "owner">;
}

const runc = await findOnSystemPath(["runc"]);
const runsc = await findOnSystemPath(["runsc"]);

describe("the death of an executor", () => {
  describeKilled("oci", ["oci"], () => ociTarget({}));
  describeKilled("oci with runc", ["oci"], () => ociTarget({ ...(runc ? { runtimePath: runc } : {}) }));
  if (runsc)
    describeKilled("oci with gVisor", ["oci"], () => ociTarget({ runtimePath: runsc, gvisor: { platform: "ptrace" } }));
  describeKilled("oci without root", ["oci"], () => ociTarget({ unenforcedLimits: "none" }, nobody));
  describeKilled("docker", ["docker"], dockerTarget);
});

function describeKilled(name: string, needed: readonly EngineName[], open: () => Promise<Target>): void {
  describeWithEngines(needed, name, () => {
    for (const [what, script] of Object.entries(scripts)) {
      it(`ends a step that ${what}`, async () => {
        await using target = await open();
        const mark = `${100_000 + randomBytes(4).readUInt32LE()}`;
        const order: StepOrder = { ...target.order, owner: `killed-${mark}`, script: script(mark) };
        await using _collected = collectedAtTheEnd(order);
        await using executor = startProgram(order);
        await executor.saysReady;
        await vi.waitFor(async () => expect(await processesWith(mark)).not.toEqual([]), endMs);

        executor.child.kill("SIGKILL");

        await vi.waitFor(async () => expect(await processesWith(mark)).toEqual([]), endMs);
      });
    }
  });
}

/**
 * Removes what the killed program left, as an executor does at its next start. If the test failed, kills processes,
 * too.
 */
function collectedAtTheEnd({ choice, owner }: StepOrder): AsyncDisposable {
  return {
    async [Symbol.asyncDispose]() {
      const { signal } = new AbortController();
      const runtime = await selectRuntime(choice, { signal });
      await runtime.collect({ owner, keep: new Set(), signal });
      await runtime.close();
      for (const found of await processesWith(owner.replace("killed-", ""))) process.kill(Number.parseInt(found, 10));
    },
  };
}

function startProgram(
  order: StepOrder,
): AsyncDisposable & { readonly child: ChildProcess; readonly saysReady: Promise<void> } {
  const child = spawn(process.execPath, [program, JSON.stringify(order)], { stdio: ["ignore", "pipe", "pipe"] });
  const exited = once(child, "exit");
  const saysReady = new Promise<void>((resolve, reject) => {
    let printed = "";
    for (const stream of [child.stdout, child.stderr]) {
      stream?.on("data", (bytes: Buffer) => {
        printed += bytes.toString();
        if (printed.includes("ready")) resolve();
      });
    }
    exited.then(() => reject(new Error(`the program ended: ${printed}`)), reject);
  });
  return {
    child,
    saysReady,
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await exited;
    },
  };
}

async function ociTarget(
  options: Partial<StepOrder["choice"]["oci"]>,
  user: StepOrder["user"] = null,
): Promise<Target> {
  await using made = new AsyncDisposableStack();
  const { path } = made.use(await temporaryDirectory("airlock-killed-"));
  const imageArchive = join(path, "image.tar");
  await writeFile(imageArchive, await dockerArchive(await busyboxImage(), image));
  const stateDir = join(path, "state");
  if (user) for (const place of [path, imageArchive]) await chmod(place, 0o777);
  const unenforcedLimits = user ? "none" : "refuse";
  const oci = { stateDir, allowHostImage: false, unenforcedLimits, ...options } as const;
  const owned = made.move();
  return {
    order: {
      choice: {
        kind: "oci",
        oci,
        docker: { allowHostImage: false, workspaces: { dir: path } },
        microvm: { stateDir: path, guestDir: path },
      },
      user,
      image,
      imageArchive,
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

async function dockerTarget(): Promise<Target> {
  await using made = new AsyncDisposableStack();
  const { path } = made.use(await temporaryDirectory("airlock-killed-"));
  const { socketPath = "" } = engines().docker ?? {};
  await loadImage(await busyboxImage(), socketPath, image);
  const docker = { host: `unix://${socketPath}`, allowHostImage: false, workspaces: { dir: path } };
  const oci = { stateDir: join(path, "state"), allowHostImage: false };
  const microvm = { stateDir: path, guestDir: path };
  const owned = made.move();
  return {
    order: { choice: { kind: "docker", docker, oci, microvm }, user: null, image, imageArchive: null },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/**
 * Processes of this machine that have the mark among their arguments or in the name of their cgroup. Processes on
 * gVisor have no arguments that the host can see.
 */
async function processesWith(mark: string): Promise<readonly string[]> {
  const found: string[] = [];
  for (const pid of await readdir("/proc")) {
    if (!/^\d+$/.test(pid)) continue;
    // A process may end between the readings.
    const [words = "", cgroup = ""] = await Promise.all(
      ["cmdline", "cgroup"].map((name) => readFile(`/proc/${pid}/${name}`, "utf8").catch(() => "")),
    );
    const isSleeping = /^(?:\/bin\/)?sleep\0/.test(words) && words.split("\0").includes(mark);
    if (isSleeping || cgroup.includes(`killed-${mark}`)) found.push(`${pid} ${words.replaceAll("\0", " ")}`);
  }
  return found;
}
