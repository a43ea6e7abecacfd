import { randomBytes } from "node:crypto";
import { hiddenPaths } from "../../../isolation/hidden-paths.ts";
import { GuestAgent } from "../guest-agent.ts";
import { runGuestStep } from "../run-guest-step.ts";
import type { GuestStep } from "../step-spec.ts";
import type { GuestParts, NamespaceGuest } from "./namespace-guest.ts";

const mebibyte = 2 ** 20;

const step: GuestStep = {
  image: 0,
  argv: ["/bin/sh", "-c", "true"],
  env: { PATH: "/bin" },
  workingDirectory: "/data",
  uid: 0,
  gid: 0,
  groups: [],
  hostname: "sandbox",
  capabilities: [0, 1, 3],
  noNewPrivileges: true,
  ownNetwork: true,
  readOnlyRoot: false,
  userNamespace: true,
  readOnlySys: true,
  maskedPaths: hiddenPaths.maskedPaths,
  readOnlyPaths: hiddenPaths.readonlyPaths,
  etc: {},
  directories: [],
  ports: [],
  seccompFilter: null,
  limits: [],
  memoryBytes: 0,
  pids: 0,
  cpuMicros: 0,
  shmBytes: mebibyte,
  upperBytes: 16 * mebibyte,
  docker: false,
};

/** A step that runs a script of the image's shell. */
export const shell = (script: string, changes: Partial<GuestStep> = {}): GuestStep => ({
  ...step,
  argv: ["/bin/sh", "-c", script],
  ...changes,
});

/** Starts a guest with image 0 and an empty workspace of 64 MiB in memory. */
export async function bootGuest(
  parts: GuestParts,
  signal: AbortSignal,
  options: { readonly hasNetwork?: boolean } = {},
): Promise<{ readonly agent: GuestAgent; readonly guest: NamespaceGuest } & AsyncDisposable> {
  const guest = parts.start(options);
  const time = new Date();
  const agent = await GuestAgent.connect(guest.stream, { signal, seed: randomBytes(32), time, stallMs: 10_000 });
  await agent.mountImage(0, "erofs", signal);
  await agent.mountWorkspace(null, 64 * mebibyte, signal);
  return { agent, guest, [Symbol.asyncDispose]: () => guest[Symbol.asyncDispose]() };
}

/** Runs a step and collects what it prints. */
export async function runCollected(agent: GuestAgent, what: GuestStep, signal: AbortSignal) {
  const printed = { stdout: "", stderr: "" };
  const output = (stream: "stdout" | "stderr", bytes: Buffer) => {
    printed[stream] += bytes.toString();
  };
  const status = await runGuestStep(agent, what, { signal, output });
  return { status, ...printed };
}
