import { readFile, stat } from "node:fs/promises";
import { type AddressInfo, connect, createServer } from "node:net";
import { join } from "node:path";
import {
  busyboxImage,
  describeWithEngines,
  engines,
  loadImage,
  openWorkplace,
  workspacesOfTests,
} from "@airlock/test-kit";
import { expect, it } from "vitest";
import type { SandboxLimits } from "../contract/index.ts";
import { hostPlace } from "../testing/host-place.ts";
import { createDockerRuntime } from "./docker-runtime.ts";

const workspaces = await workspacesOfTests();
const signal = new AbortController().signal;
const image = "airlock-test-remote:1";
const unprivileged = "airlock-test-remote:user";
const withVolume = "airlock-test-remote:volume";
const mebibyte = 2 ** 20;

/**
 * Reaches a local engine over TCP, so that the runtime treats it as remote and ignores its files and cgroups. Bind
 * mounts still work, because the engine runs on this machine.
 */
describeWithEngines(["docker"], "a Docker engine on another machine", () => {
  async function open(limits: Partial<SandboxLimits> = {}) {
    const { socketPath } = engines().docker ?? expect.unreachable();
    await loadImage(await busyboxImage(), socketPath, image);
    await loadImage(await busyboxImage({ User: "app" }), socketPath, unprivileged);
    await loadImage(await busyboxImage({ Volumes: { "/etc": {} } }), socketPath, withVolume);
    await using cleanup = new AsyncDisposableStack();
    const proxy = createServer((socket) => {
      const engine = connect(socketPath);
      socket.pipe(engine).pipe(socket);
      for (const end of [socket, engine]) {
        end.on("error", () => {});
        end.on("close", () => {
          socket.destroy();
          engine.destroy();
        });
      }
    });
    await new Promise<void>((resolve) => proxy.listen(0, "127.0.0.1", resolve));
    cleanup.defer(() => new Promise<void>((resolve) => void proxy.close(() => resolve())));
    const { port } = proxy.address() as AddressInfo;
    const runtime = createDockerRuntime({ host: `tcp://127.0.0.1:${port}`, allowHostImage: false, workspaces });
    cleanup.defer(() => runtime.close());
    const place = cleanup.use(
      await openWorkplace(runtime, {
        owner: "remote",
        image,
        limits: { memoryBytes: 64 * mebibyte, pids: 64, ...limits },
      }),
    );
    const owned = cleanup.move();
    return {
      ...place,
      runtime,
      workspaceDir: hostPlace(workspaces.dir, { owner: "remote", id: place.id }).workspaceDir,
      [Symbol.asyncDispose]: () => owned.disposeAsync(),
    };
  }

  it("is described as enforcing limits for each container separately", async () => {
    await using place = await open();

    const { enforces, notes } = await place.runtime.describe({ signal });

    expect(enforces).toMatchObject({ memory: true, pids: true, disk: "watcher" });
    expect(notes.join()).toContain("Limits apply to each container");
  });

  it("reports that a step ran out of memory if the engine says so", async () => {
    await using place = await open();

    const { status } = await place.run("exec tail /dev/zero");

    expect(status).toEqual({ kind: "killed", signal: "SIGKILL", outOfMemory: true });
  });

  it("gives the workspace to a user that only the image defines, and gives it back afterwards", async () => {
    await using place = await open();
    await place.run("echo root > file");

    expect((await place.run("id -u; echo more >> file", { image: unprivileged })).stdout).toBe("1234\n");
    expect((await stat(join(place.workspaceDir, "file"))).uid).toBe(1234);
    await place.run("true");
    expect((await stat(join(place.workspaceDir, "file"))).uid).toBe(0);
    expect(await readFile(join(place.workspaceDir, "file"), "utf8")).toBe("root\nmore\n");
  });

  it("is asked for the size of its layers, and the step that fills one is ended", async () => {
    await using place = await open({ diskBytes: 50 * mebibyte });

    const running = place.run("dd if=/dev/zero of=/bomb bs=1M count=120 2>/dev/null; sleep 60");

    await expect(running).rejects.toMatchObject({ code: "disk-full", reason: "step-failed" });
  });

  it("is also asked for the size of an image's volumes", async () => {
    await using place = await open({ diskBytes: 50 * mebibyte });
    expect((await place.run("grep -c root /etc/passwd", { image: withVolume })).stdout).toBe("1\n");

    const running = place.run("dd if=/dev/zero of=/etc/bomb bs=1M count=120 2>/dev/null; sleep 60", {
      image: withVolume,
    });

    await expect(running).rejects.toMatchObject({ code: "disk-full" });
  });
});
