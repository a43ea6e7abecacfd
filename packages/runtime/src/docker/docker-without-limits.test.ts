import { busyboxImage, describeWithEngines, loadImage, openWorkplace, workspacesOfTests } from "@airlock/test-kit";
import { startEngines } from "@airlock/test-kit/start-engines";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { UnenforcedLimits } from "../contract/index.ts";
import { createDockerRuntime } from "./docker-runtime.ts";

const workspaces = await workspacesOfTests();
const signal = new AbortController().signal;
const image = "airlock-test-without-limits:1";

describeWithEngines(["docker"], "a Docker engine that can't limit processors and processes", () => {
  const stack = new AsyncDisposableStack();
  let host: string;
  beforeAll(async () => {
    const docker = { hiddenControllers: ["cpu", "pids"] } as const;
    const { engines } = stack.use(await startEngines(["docker"], { docker }));
    const { socketPath } = engines.docker ?? expect.unreachable();
    await loadImage(await busyboxImage(), socketPath, image);
    host = `unix://${socketPath}`;
  });
  afterAll(() => stack.disposeAsync());

  const openRuntime = (options: { readonly unenforcedLimits?: UnenforcedLimits } = {}) => {
    const runtime = createDockerRuntime({ host, allowHostImage: false, workspaces, ...options });
    return { runtime, [Symbol.asyncDispose]: () => runtime.close() };
  };

  it("is described with the limits that it lacks and how to fix that", async () => {
    await using opened = openRuntime();

    const { enforces, limitsProblem, notes } = await opened.runtime.describe({ signal });

    expect(enforces).toMatchObject({ cpu: false, memory: true, pids: false });
    expect(limitsProblem).toMatch(/can't enforce limits for cpu, pids\. Make these cgroup controllers writable/);
    expect(notes).toContain(limitsProblem);
  });

  it("runs no sandbox by default", async () => {
    await using opened = openRuntime();

    await expect(openWorkplace(opened.runtime, { owner: "without-limits", image })).rejects.toMatchObject({
      reason: "policy",
      message: "limits for cpu, pids can't be enforced here",
      hint: expect.stringContaining("restart the engine"),
    });
  });

  it("runs steps without these limits if the administrator allows it", async () => {
    await using opened = openRuntime({ unenforcedLimits: "none" });
    await using place = await openWorkplace(opened.runtime, { owner: "without-limits", image });

    expect(await place.run("echo ran")).toMatchObject({ status: { kind: "exited", exitCode: 0 }, stdout: "ran\n" });
  });
});
