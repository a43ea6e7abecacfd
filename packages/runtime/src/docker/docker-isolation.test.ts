import { execFileSync } from "node:child_process";
import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import {
  busyboxImage,
  describeWithEngines,
  engines,
  loadImage,
  openWorkplace,
  temporaryDirectory,
  workspacesOfTests,
} from "@airlock/test-kit";
import { startEngines } from "@airlock/test-kit/start-engines";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { Runtime, SandboxLimits } from "../contract/index.ts";
import type { Hardening } from "../isolation/hardening.ts";
import { hostPlace } from "../testing/host-place.ts";
import { createDockerRuntime } from "./docker-runtime.ts";
import { EngineClient } from "./engine-client.ts";
import { ContainerListReply, ContainerPathsReply } from "./engine-replies.ts";

const owner = `isolation-${process.pid}`;
const image = "airlock-test-isolation:1";
const second = "airlock-test-isolation:2";
const mebibyte = 2 ** 20;

const workspaces = await workspacesOfTests();

describeWithEngines(["docker"], "isolation of the docker runtime", () => {
  let host: string;
  let engine: EngineClient;
  const runtimes: Runtime[] = [];

  beforeAll(async () => {
    const { socketPath } = engines().docker ?? expect.unreachable();
    host = `unix://${socketPath}`;
    engine = new EngineClient({ host });
    await loadImage(await busyboxImage(), socketPath, image);
    await loadImage(await busyboxImage({ Env: ["PATH=/bin", "SECOND=yes"] }), socketPath, second);
  });
  afterAll(async () => {
    for (const runtime of runtimes) await runtime.close();
    await engine?.close();
  });

  async function open(limits: Partial<SandboxLimits> = {}, hardening: Partial<Hardening> = {}) {
    const runtime = createDockerRuntime({
      host,
      allowHostImage: false,
      workspaces: { ...workspaces, mounts: "never" },
      hardening,
    });
    runtimes.push(runtime);
    const place = await openWorkplace(runtime, {
      owner,
      image,
      limits: { cpus: 2, memoryBytes: 64 * mebibyte, pids: 64, ...limits },
    });
    return { ...place, workspaceDir: hostPlace(workspaces.dir, { owner, id: place.id }).workspaceDir };
  }

  async function containersOf(id: string) {
    const filters = JSON.stringify({ label: [`airlock.sandbox=${id}`] });
    const containers = await engine.json(ContainerListReply, { path: "/containers/json", query: { filters } });
    return await Promise.all(
      containers.map(({ Id }) => engine.json(ContainerPathsReply, { path: `/containers/${Id}/json` })),
    );
  }

  async function layersOf(id: string): Promise<string[]> {
    const containers = await containersOf(id);
    return containers.map(({ GraphDriver }) => GraphDriver?.Data?.UpperDir ?? expect.unreachable());
  }

  it.each<[keyof Hardening, Partial<Hardening>, string, string, string]>([
    ["capabilities", { capabilities: ["NET_RAW"] }, "grep CapBnd /proc/self/status", "00000000800405fb", "00002000"],
    ["noNewPrivileges", { noNewPrivileges: false }, "grep NoNewPrivs /proc/self/status", "\t1\n", "\t0\n"],
    ["seccomp", { seccomp: false }, "grep Seccomp: /proc/self/status", "\t2\n", "\t0\n"],
    ["maskedPaths", { maskedPaths: false }, "grep -c . /proc/interrupts", "0\n", "\n"],
    ["readOnlyRoot", { readOnlyRoot: true }, "touch /made 2>/dev/null && echo writable || echo no", "writable", "no"],
  ])("has the hardening setting %s", async (_, change, script, byDefault, switched) => {
    await using strict = await open();
    await using other = await open({}, change);

    const before = await strict.run(script);
    const after = await other.run(script);

    expect(before.stdout).toContain(byDefault);
    expect(after.stdout).toContain(switched);
    expect(after.stdout).not.toBe(before.stdout);
  });

  it("leaves writable directories, a hosts file and the workspace under a read-only root", async () => {
    await using place = await open({}, { readOnlyRoot: true });

    const { stdout } = await place.run(
      "for dir in /tmp /run /data /dev/shm; do echo x > $dir/x && echo $dir; done; touch /bin/x /etc/x; grep -c localhost /etc/hosts",
    );

    expect(stdout).toMatch(/^\/tmp\n\/run\n\/data\n\/dev\/shm\n[1-9]\n$/);
  });

  it("resolves localhost, writes no core dumps and bounds the number of open files", async () => {
    await using place = await open();

    const { stdout } = await place.run(
      "grep -c localhost /etc/hosts; ulimit -c; ulimit -n; ls -d /dev/mqueue; df -k /dev/shm",
    );

    expect(stdout).toMatch(/^[12]\n0\n\d+\n\/dev\/mqueue\n/);
    expect(stdout).toMatch(/ 65536 .* \/dev\/shm\n/);
  });

  it("uses its own files for hosts, hostname and resolv.conf, so that they count toward the disk limit", async () => {
    await using place = await open({ diskBytes: 100 * mebibyte });

    const script =
      "cd /etc; for f in hosts hostname resolv.conf; do echo y >> $f; dd if=/dev/zero bs=1M count=5 2>/dev/null >> $f; done";
    expect((await place.run(script)).status).toEqual({ kind: "exited", exitCode: 0 });
    expect((await place.run("wc -c /etc/hosts | cut -c 1-2", { image: second })).stdout).toBe("52\n");

    for (const container of await containersOf(place.id)) {
      const { HostsPath, HostnamePath, ResolvConfPath } = container;
      for (const path of [HostsPath, HostnamePath, ResolvConfPath]) expect(path).toContain(workspaces.dir);
    }
  });

  it("enforces one memory limit for all containers of a sandbox together, and reports the lack of memory", async () => {
    await using place = await open({ memoryBytes: 100 * mebibyte, pids: 64 });
    const fill = "exec dd if=/dev/zero of=/dev/shm/ballast bs=1M count=60";
    expect((await place.run(fill, { image: second })).status).toEqual({ kind: "exited", exitCode: 0 });

    const { status } = await place.run(fill);

    expect(status).toMatchObject({ kind: "killed", signal: "SIGKILL", outOfMemory: true });
  });

  it("reports a process that was killed for its memory while its step went on", async () => {
    await using place = await open();

    const { status } = await place.run("(x=$(tail /dev/zero)) ; exit 3");

    expect(status).toMatchObject({ kind: "exited", exitCode: 3 });
    expect(status.notes?.join()).toContain("used more memory than its 64 MiB");
  });

  it("reports processes that the process limit refused", async () => {
    await using place = await open({ memoryBytes: 64 * mebibyte, pids: 20 });

    const { status } = await place.run("for i in $(seq 40); do sleep 100 & done; exit 0");

    expect(status.notes?.join()).toContain("limit is 20");
    expect((await place.run("true")).status).toEqual({ kind: "exited", exitCode: 0 });
  });

  it("reaps processes that a step orphans, even thousands of them", async () => {
    await using place = await open({ memoryBytes: 64 * mebibyte, pids: 60 });

    const { stdout } = await place.run(
      "i=0; while [ $i -lt 500 ]; do (true &) ; i=$((i+1)); done; sleep 0.5; grep -l 'State:.Z' /proc/[0-9]*/status | wc -l",
    );

    expect(stdout).toBe("0\n");
  });

  it.each([
    ["its layer", "dd if=/dev/zero of=/bomb bs=1M count=900 2>/dev/null"],
    ["the workspace", "dd if=/dev/zero of=/data/bomb bs=1M count=900 2>/dev/null"],
    ["a deleted file that is still open", "exec 3>/bomb; rm /bomb; dd if=/dev/zero bs=1M count=900 2>/dev/null >&3"],
    ["its /etc/hosts", "dd if=/dev/zero of=/etc/hosts bs=1M count=900 2>/dev/null"],
    ["its /etc/resolv.conf", "dd if=/dev/zero of=/etc/resolv.conf bs=1M count=900 2>/dev/null"],
    ["its /etc/hostname", "dd if=/dev/zero of=/etc/hostname bs=1M count=900 2>/dev/null"],
    ["its layer with empty files", "mkdir /e; i=0; while [ $i -lt 60000 ]; do i=$((i+1)); : > /e/$i; done"],
    ["many files", "i=0; while :; do i=$((i+1)); head -c 1000000 /dev/zero > /tmp/$i; done"],
  ])("ends a step that fills %s soon after it exceeds the limit", async (_, bomb) => {
    await using place = await open({ memoryBytes: 256 * mebibyte, pids: 64, diskBytes: 100 * mebibyte });

    // A slow machine writes less before the step is killed. The sleep gives the disk watch time to kill the step after
    // it has written everything.
    const running = place.run(`${bomb}; sleep 60; echo unreachable`);

    await expect(running).rejects.toMatchObject({
      code: "disk-full",
      reason: "step-failed",
      message: expect.stringMatching(/its limit is 100 MiB/),
    });
  });

  it("ends a step that fills a volume of its image", async () => {
    const { socketPath } = engines().docker ?? expect.unreachable();
    await loadImage(await busyboxImage({ Volumes: { "/cache": {} } }), socketPath, "airlock-test-isolation:volume");
    await using place = await open({ memoryBytes: 256 * mebibyte, pids: 64, diskBytes: 100 * mebibyte });

    const running = place.run("dd if=/dev/zero of=/cache/bomb bs=1M count=300 2>/dev/null; sleep 60", {
      image: "airlock-test-isolation:volume",
    });

    await expect(running).rejects.toMatchObject({ code: "disk-full" });
  });

  it("stops a step that writes at full speed before it has written several times the limit", async () => {
    await using place = await open({ memoryBytes: 256 * mebibyte, pids: 64, diskBytes: 200 * mebibyte });
    await place.run("true");
    const [layer = ""] = await layersOf(place.id);

    await expect(place.run("exec dd if=/dev/zero of=/bomb bs=4M count=1000")).rejects.toMatchObject({
      code: "disk-full",
    });

    const { size } = await stat(join(layer, "bomb"));
    expect(size).toBeGreaterThan(150 * mebibyte);
    expect(size).toBeLessThan(1000 * mebibyte);
  });

  it("does not end a step that writes a lot but stays below the limit", async () => {
    await using place = await open({ memoryBytes: 256 * mebibyte, pids: 64, diskBytes: 400 * mebibyte });

    const { status } = await place.run(
      "for i in 1 2 3 4 5 6; do dd if=/dev/zero of=/x bs=1M count=150 2>/dev/null; cp /x /data/x; rm /x /data/x; done",
    );

    expect(status).toEqual({ kind: "exited", exitCode: 0 });
    const [layer = ""] = await layersOf(place.id);
    expect(await readdir(layer)).not.toContain("x");
    expect((await stat(place.workspaceDir)).isDirectory()).toBe(true);
  });
});

describeWithEngines(["docker"], "a Docker engine that sees what the executor mounts", () => {
  it.skipIf(process.geteuid?.() !== 0)(
    "keeps the volumes of an image, with the image's content, on the bounded workspace disk",
    async () => {
      await using cleanup = new AsyncDisposableStack();
      const directory = cleanup.use(await temporaryDirectory());
      // Mounts below a shared mount also appear in the mount namespace of an engine that starts later.
      execFileSync("mount", ["--bind", directory.path, directory.path]);
      cleanup.defer(() => void execFileSync("umount", ["-R", directory.path]));
      execFileSync("mount", ["--make-shared", directory.path]);
      const { docker, missing } = cleanup.use(await startEngines(["docker"])).engines;
      if (!docker) throw new Error(missing.docker);
      const withVolume = "airlock-test-isolation:volume-etc";
      await loadImage(await busyboxImage({ Volumes: { "/etc": {} } }), docker.socketPath, withVolume);
      const runtime = createDockerRuntime({
        host: `unix://${docker.socketPath}`,
        allowHostImage: false,
        workspaces: { dir: directory.path },
      });
      cleanup.defer(() => runtime.close());
      const limits = { diskBytes: 64 * mebibyte };
      await using place = await openWorkplace(runtime, { owner, image: withVolume, limits });

      const { stdout } = await place.run("grep -c root /etc/passwd; echo x > /etc/made; echo $?");

      expect(stdout).toBe("1\n0\n");
      const { workspaceDir } = hostPlace(directory.path, { owner, id: place.id });
      const volumes = join(workspaceDir, "..", "layers", "volumes");
      const [container = ""] = await readdir(volumes);
      expect(await readFile(join(volumes, container, "0", "made"), "utf8")).toBe("x\n");
    },
  );
});
