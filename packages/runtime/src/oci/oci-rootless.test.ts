import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { EgressPolicy } from "@airlock/job";
import { busyboxImage, describeWithEngines, dockerArchive, openWorkplace } from "@airlock/test-kit";
import { afterAll, beforeAll, expect, it } from "vitest";
import { createOciRuntime, type OciRuntime } from "./index.ts";

const nobody = 65_534;
const never = new AbortController().signal;

describeWithEngines(["oci"], "the oci runtime without root", () => {
  let directory: string;
  let runtime: OciRuntime;
  beforeAll(async () => {
    const archive = await dockerArchive(await busyboxImage(), "fixture:1");
    // Vitest runs this file in a separate process, so it can give up root.
    if (process.geteuid?.() === 0) {
      process.setgroups?.([]);
      process.setgid?.(nobody);
      process.setuid?.(nobody);
    }
    directory = await mkdtemp(join(tmpdir(), "airlock-rootless-"));
    await writeFile(join(directory, "image.tar"), archive);
    runtime = await createOciRuntime({
      stateDir: join(directory, "state"),
      allowHostImage: true,
      unenforcedLimits: "none",
    });
    await runtime.loadImages(join(directory, "image.tar"), { signal: never });
  });
  afterAll(async () => {
    await runtime?.close();
    if (directory) await rm(directory, { recursive: true, force: true });
  });

  const openSandbox = (id: string, egress: EgressPolicy = { kind: "none" }) =>
    openWorkplace(runtime, { id, owner: "rootless-test", image: "fixture:1", limits: { pids: 100 }, egress });

  it("refuses a sandbox whose egress policy it can't enforce, and leaves nothing of it", async () => {
    await expect(openSandbox("rootless-egress", { kind: "public" })).rejects.toMatchObject({ reason: "policy" });
    const collected = await runtime.collect({ owner: "rootless-test", keep: new Set(), signal: never });
    expect(collected.sandboxes).toBe(0);
  });

  it("refuses sandboxes whose limits it can't enforce, unless the administrator allows them", async () => {
    const strict = await createOciRuntime({ stateDir: join(directory, "strict"), allowHostImage: true });
    try {
      await expect(
        openWorkplace(strict, { owner: "rootless-test", image: "host", limits: { pids: 100 } }),
      ).rejects.toMatchObject({
        reason: "policy",
        message: "limits for cpu, memory, pids can't be enforced here",
        hint: expect.stringMatching(/is not writable for this user.*as root/),
      });
    } finally {
      await strict.close();
    }
  });

  it("describes what it can't enforce", async () => {
    const { enforces, limitsProblem, notes } = await runtime.describe({ signal: never });

    expect([enforces.cpu, enforces.memory, enforces.pids]).toEqual([false, false, false]);
    expect(limitsProblem).toMatch(
      /^Limits can't be enforced because \/sys\/fs\/cgroup.* is not writable for this user/,
    );
    expect(notes).toContain(limitsProblem);
    expect(notes.join(" ")).toContain("Each step copies its image");
  });

  it.each(["fixture:1", "host"])("runs steps in %s as a root user that has no rights on the host", async (image) => {
    await using place = await openSandbox(`rootless-${image.replace(/\W/g, "-")}`);

    const { stdout, status } = await place.run("id -u; touch made /etc/mine; grep Seccomp: /proc/self/status; exit 3", {
      image,
    });

    expect(stdout).toBe("0\nSeccomp:\t2\n");
    expect(status).toEqual({ kind: "exited", exitCode: 3 });
    expect(await place.list()).toEqual(["made"]);
  });

  it("ends an abandoned step with all its processes, and removes its sandbox", async () => {
    await using place = await openSandbox("rootless-abandoned");
    const { promise: ready, resolve } = Promise.withResolvers<void>();
    const running = place.start("setsid sleep 1000 & echo ready; sleep 1000", { output: () => resolve() });
    running.catch(() => {});
    await ready;

    const collected = await runtime.collect({ owner: "rootless-test", keep: new Set(), signal: never });

    expect(collected.sandboxes).toBe(1);
    expect(await readdir(join(directory, "state/sandboxes/rootless-test"))).toEqual([]);
    await Promise.allSettled([running]);
  });
});
