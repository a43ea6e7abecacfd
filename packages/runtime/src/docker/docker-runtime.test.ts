import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { chmod, readdir, readFile, symlink } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { EgressPolicy } from "@airlock/job";
import {
  buildImage,
  busyboxImage,
  busyboxLayer,
  describeWithEngines,
  engines,
  loadImage,
  openWorkplace,
  pushImage,
  type StartOptions,
  shellLessImage,
  workspacesOfTests,
} from "@airlock/test-kit";
import { startEngines } from "@airlock/test-kit/start-engines";
import { afterAll, beforeAll, expect, it } from "vitest";
import { z } from "zod";
import type { Runtime, SandboxLimits, StepStatus } from "../contract/index.ts";
import { hostPlace } from "../testing/host-place.ts";
import { createDockerRuntime } from "./docker-runtime.ts";
import { EngineClient } from "./engine-client.ts";
import { ContainerListReply, ContainerPathsReply } from "./engine-replies.ts";

const signal = new AbortController().signal;
const workspaces = await workspacesOfTests();
const owner = "test-owner";
const image = "airlock-test-docker:busybox";
const VolumesReply = z.object({ Volumes: z.array(z.object({ Name: z.string() })).nullable() });
const exited = (exitCode: number) => ({ kind: "exited", exitCode });

describeWithEngines(["docker", "registry"], "docker runtime", () => {
  let engine: EngineClient;
  let runtime: Runtime;

  beforeAll(async () => {
    const { socketPath } = engines().docker ?? expect.unreachable();
    engine = new EngineClient({ host: `unix://${socketPath}` });
    runtime = createDockerRuntime({ host: `unix://${socketPath}`, allowHostImage: true, workspaces });
    await loadImage(await busyboxImage(), socketPath, image);
  });
  afterAll(async () => {
    await runtime.close();
    await engine.close();
  });

  async function load(name: string, config: Parameters<typeof busyboxImage>[0]): Promise<string> {
    const { socketPath } = engines().docker ?? expect.unreachable();
    await loadImage(await busyboxImage(config), socketPath, name);
    return name;
  }

  async function sandboxWith({
    limits = {},
    egress = { kind: "none" },
  }: {
    limits?: Partial<SandboxLimits>;
    egress?: EgressPolicy;
  } = {}) {
    const place = await openWorkplace(runtime, {
      owner,
      image,
      egress,
      limits: { cpus: 2, memoryBytes: 64 << 20, pids: 64, ...limits },
    });
    return {
      ...place,
      workspaceDir: hostPlace(workspaces.dir, { owner, id: place.id }).workspaceDir,
      async run(
        script: string,
        {
          abort,
          onOutput,
          ...step
        }: StartOptions & { abort?: AbortSignal; onOutput?: (bytes: Buffer) => void | Promise<void> } = {},
      ): Promise<{ status: StepStatus; stdout: string; stderr: string }> {
        const options = { ...step, ...(abort ? { signal: abort } : {}) };
        if (!onOutput) return await place.run(script, options);
        const status = await place.start(script, { ...options, output: (_, bytes) => onOutput(bytes) });
        return { status, stdout: "", stderr: "" };
      },
    };
  }

  const containersOf = (id: string) =>
    engine.json(ContainerListReply, {
      path: "/containers/json",
      query: { all: true, filters: JSON.stringify({ label: [`airlock.sandbox=${id}`] }) },
    });
  /** Names of the volumes that the sandbox's containers use. */
  async function volumesOf(id: string): Promise<string[]> {
    const containers = await Promise.all(
      (await containersOf(id)).map(({ Id }) => engine.json(ContainerPathsReply, { path: `/containers/${Id}/json` })),
    );
    return containers
      .flatMap(({ Mounts }) => Mounts ?? [])
      .flatMap(({ Type, Name }) => (Type === "volume" && Name ? [Name] : []));
  }
  async function existingVolumes(): Promise<string[]> {
    const { Volumes } = await engine.json(VolumesReply, { path: "/volumes" });
    return (Volumes ?? []).map(({ Name }) => Name);
  }

  it("describes the engine", async () => {
    const description = await runtime.describe({ signal });
    expect(description.version).toMatch(/^\d+\./);
    expect(description.enforces).toMatchObject({ cpu: true, memory: true, pids: true, egressNone: true });
  });

  it("runs a step in the workspace and reports its exit code, output and files", async () => {
    await using box = await sandboxWith();
    const { status, stdout, stderr } = await box.run('pwd; echo "$A$FROM_IMAGE"; echo no >&2; echo x > made; exit 3', {
      env: { A: "it's\n$B" },
      workingDirectory: "/data/deep/er",
    });
    expect(status).toEqual(exited(3));
    expect(stdout).toBe("/data/deep/er\nit's\n$Byes\n");
    expect(stderr).toBe("no\n");
    expect(await readFile(join(box.workspaceDir, "deep/er/made"), "utf8")).toBe("x\n");
  });

  it("uses one labelled container for all steps of an image, and removes it with the sandbox", async () => {
    const box = await sandboxWith();
    await box.sandbox.prepareImage(image, { signal, progress: () => {} });
    await box.run("true");
    await box.run("true");
    const containers = await containersOf(box.id);
    expect(containers.map(({ Labels }) => Labels)).toEqual([{ "airlock.owner": owner, "airlock.sandbox": box.id }]);
    await box[Symbol.asyncDispose]();
    await box[Symbol.asyncDispose]();
    expect(await containersOf(box.id)).toEqual([]);
  });

  it("does not let a step change the scripts", async () => {
    await using box = await sandboxWith();
    const { status, stderr } = await box.run("echo evil > /airlock/step.1.sh");
    expect(status.kind === "exited" && status.exitCode).not.toBe(0);
    expect(stderr).toContain("Read-only");
  });

  it("ends a step whose daemon holds the output open, and leaves no process of the step", async () => {
    await using box = await sandboxWith();
    const started = performance.now();
    const { status, stdout } = await box.run(
      "(sleep 1000; echo late) & (setsid sleep 1000 >/dev/null 2>&1 &) ; echo main; exit 4",
    );
    expect(status).toEqual(exited(4));
    expect(stdout).toBe("main\n");
    expect(performance.now() - started).toBeLessThan(3000);
    expect((await box.run("ps -o comm | grep -c '^sleep$'")).stdout).toBe("0\n");
  });

  it("waits for a process that has closed its output", async () => {
    await using box = await sandboxWith();
    expect((await box.run("exec >&- 2>&-; sleep 1; exit 7")).status).toEqual(exited(7));
  });

  it("reports that a step was killed for its memory, and runs the next one", async () => {
    await using box = await sandboxWith();
    const eater = "x=$(head -c 200000000 /dev/zero | tr '\\0' a); echo unreachable";
    expect((await box.run(eater)).status).toEqual({ kind: "killed", signal: "SIGKILL", outOfMemory: true });
    expect((await box.run("kill -KILL $$")).status).toEqual(exited(137));
    expect((await box.run(eater)).status).toMatchObject({ kind: "killed", outOfMemory: true });
  });

  it("ends a fork bomb together with its step", async () => {
    await using box = await sandboxWith({ limits: { pids: 30 } });
    // The bomb has a shell of its own: the first process that can't fork ends, and must not be the one that tells.
    const { stderr } = await box.run(
      "b() { b | b & }; (b) 2>/dev/null & i=0; while [ $i -lt 50 ]; do sleep 100 & i=$((i+1)); done",
    );
    expect(stderr).toContain("fork");
    expect((await box.run("echo still here")).stdout).toBe("still here\n");
  });

  it("sends SIGTERM when aborted, and rejects with the reason", async () => {
    await using box = await sandboxWith();
    const controller = new AbortController();
    const reason = new Error("canceled by somebody");
    let output = "";
    const running = box.run("trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.1; done", {
      abort: controller.signal,
      onOutput: (bytes) => {
        output += bytes;
        if (output.includes("up")) controller.abort(reason);
      },
    });
    await expect(running).rejects.toBe(reason);
    expect(output).toContain("bye\n");
    await expect(box.run("true", { abort: controller.signal })).rejects.toBe(reason);
  });

  it("kills a step that ignores SIGTERM after five seconds", async () => {
    await using box = await sandboxWith();
    const reason = new Error("enough");
    const controller = new AbortController();
    const started = performance.now();
    const running = box.run("trap '' TERM; echo up; while :; do sleep 0.1; done", {
      abort: controller.signal,
      onOutput: () => controller.abort(reason),
    });
    await expect(running).rejects.toBe(reason);
    expect(performance.now() - started).toBeGreaterThan(4900);
    expect(performance.now() - started).toBeLessThan(8000);
    expect((await box.run("ps -o comm | grep -c sleep")).stdout).toBe("0\n");
  });

  it("delivers every byte to a slow reader, including binary data", async () => {
    await using box = await sandboxWith();
    let bytes = 0;
    const { status } = await box.run("head -c 8000000 /dev/urandom", {
      onOutput: async (chunk) => {
        bytes += chunk.length;
        await sleep(5);
      },
    });
    expect(status).toEqual(exited(0));
    expect(bytes).toBe(8_000_000);
  });

  it("blocks a step until its reader catches up, and buffers little of the output", async () => {
    await using box = await sandboxWith();
    const controller = new AbortController();
    const reason = new Error("seen enough");
    let seen = 0;
    const running = box.run("yes | head -c 300000000; echo finished > /data/finished", {
      abort: controller.signal,
      onOutput: async (chunk) => {
        seen += chunk.length;
        if (seen === chunk.length) {
          await sleep(1500);
          controller.abort(reason);
        }
      },
    });
    await expect(running).rejects.toBe(reason);
    expect(await readdir(box.workspaceDir)).toEqual([]);
    expect(seen).toBeLessThan(20_000_000);
  });

  it("rejects with the error that the output callback threw, and kills the step", async () => {
    await using box = await sandboxWith();
    const broken = box.run("sleep 1000 & while :; do echo x; done", {
      onOutput: () => {
        throw new Error("disk full");
      },
    });
    await expect(broken).rejects.toThrow("disk full");
    expect((await box.run("ps -o comm | grep -c '^sleep$'")).stdout).toBe("0\n");
  });

  it("uses a new container after a step has killed the keeper process", async () => {
    await using box = await sandboxWith();
    await expect(
      box.run(
        "kill -KILL $(ps -o pid,comm | grep docker-init -v | grep -o '[0-9]* sh' | cut -d' ' -f1 | grep -vx $$); sleep 5",
      ),
    ).rejects.toMatchObject({ reason: "runtime" });
    expect((await box.run("echo again")).stdout).toBe("again\n");
  });

  it("discards the container after a step has stopped the keeper process", async () => {
    await using box = await sandboxWith();
    const { status } = await box.run(
      "cd /proc; for p in [0-9]*; do [ $p != $$ ] && kill -STOP $p; done; setsid sleep 1000 >/dev/null 2>&1 & exit 0",
    );
    expect(status).toEqual(exited(0));
    expect((await box.run("ps -o comm | grep -c '^sleep$'")).stdout).toBe("0\n");
  });

  it("detects a step that stops the keeper process and answers in its place", async () => {
    await using box = await sandboxWith();
    const { status } = await box.run(`
      for p in /proc/[0-9]*; do [ $p != /proc/1 ] && grep -q airlock-ready $p/cmdline && keeper=$p; done
      kill -STOP $(basename $keeper)
      while :; do echo airlock-done; sleep 0.05; done >$keeper/fd/1 2>/dev/null &
      exit 0`);
    expect(status).toEqual(exited(0));
    expect((await box.run("ps -o args | grep -c '/airlock/step.1[.]sh'")).stdout).toBe("0\n");
  });

  it("shows a step no network interface except loopback, also in a second image", async () => {
    const second = await load("airlock-test-docker:second", {});
    await using box = await sandboxWith();
    const list = "ls /sys/class/net; readlink /proc/self/ns/net";
    const [a, b] = [await box.run(list), await box.run(list, { image: second })];
    expect(a.stdout.split("\n")[0]).toBe("lo");
    expect(b.stdout).toBe(a.stdout);
    expect(await containersOf(box.id)).toHaveLength(2);
  });

  it("gives a step few capabilities, no new privileges, a seccomp filter and no devices of the host", async () => {
    await using box = await sandboxWith();
    const { stdout } = await box.run("cat /proc/self/status; ls /dev; cat /proc/kcore | head -c 1 | wc -c");
    expect(stdout).toContain("CapBnd:\t00000000800405fb\n");
    expect(stdout).toMatch(/NoNewPrivs:\t1/);
    expect(stdout).toMatch(/Seccomp:\t2/);
    expect(stdout).not.toMatch(/^(?:vda|sda|kvm|fuse|loop0)$/m);
    expect(stdout.endsWith("\n0\n")).toBe(true);
    for (const command of [
      "mount -t tmpfs none /mnt",
      "unshare -m true",
      // Only opened, never written: if it worked, a write could restart the machine.
      ": >> /proc/sysrq-trigger",
      "mknod /tmp/n b 8 0",
    ]) {
      expect((await box.run(`mkdir -p /mnt; ${command}`)).status).not.toEqual(exited(0));
    }
  });

  it("runs steps as the image's own user", async () => {
    const user = await load("airlock-test-docker:user", { User: "1234:1234" });
    await using box = await sandboxWith();
    await chmod(box.workspaceDir, 0o777);
    const { stdout } = await box.run("id -u; id -g; kill -KILL -1; echo spared itself", { image: user });
    expect(stdout).toBe("1234\n1234\nspared itself\n");
    expect((await box.run("echo alive", { image: user })).stdout).toBe("alive\n");
  });

  it("runs steps as a user above 65535, who owns the workspace", async () => {
    const user = await load("airlock-test-docker:large-user", { User: "70000:70001" });
    await using box = await sandboxWith();
    await box.run("mkdir private; chmod 700 private");
    const { stdout } = await box.run("id -u; id -g; echo own > private/own; stat -c %u:%g . private/own", {
      image: user,
    });
    expect(stdout).toBe("70000\n70001\n70000:70001\n70000:70001\n");
    expect((await box.run("cat private/own; stat -c %u .")).stdout).toBe("own\n0\n");
  });

  it("refuses a user id that the kernel does not support", async () => {
    const user = await load("airlock-test-docker:no-user", { User: "4294967296" });
    await using box = await sandboxWith();
    await expect(box.run("true", { image: user })).rejects.toMatchObject({
      reason: "policy",
      message: expect.stringContaining("this executor's sandboxes have only the users 0 to 2147483647"),
    });
  });

  it("ignores the image's entrypoint, command, health check and stop signal", async () => {
    const touch = ["/bin/sh", "-c", "touch /data/owned"];
    const tricky = await load("airlock-test-docker:tricky", {
      Entrypoint: touch,
      Cmd: touch,
      Healthcheck: { Test: ["CMD", ...touch], Interval: 1_000_000_000 },
      StopSignal: "SIGWINCH",
      Labels: { "airlock.owner": "somebody-else", privileged: "true" },
    });
    await using box = await sandboxWith();
    expect((await box.run("sleep 2; echo ran", { image: tricky })).stdout).toBe("ran\n");
    expect(await readdir(box.workspaceDir)).toEqual([]);
    expect((await containersOf(box.id))[0]?.Labels?.["airlock.owner"]).toBe(owner);
  });

  it.each([
    ["a working directory in /proc", { WorkingDir: "/proc/self/fd/8" }],
    ["a working directory that climbs to /sys", { WorkingDir: "/tmp/../sys" }],
    ["a volume in /proc", { Volumes: { "/proc/x": {} } }],
    ["a volume over the workspace", { Volumes: { "/data/sub": {} } }],
    ["a volume over everything", { Volumes: { "/": {} } }],
  ])("refuses an image with %s", async (name, config) => {
    const tricky = await load(`airlock-test-docker:${name.replaceAll(/[^a-z]+/g, "-")}`, config);
    await using box = await sandboxWith();
    await expect(box.sandbox.prepareImage(tricky, { signal, progress: () => {} })).rejects.toMatchObject({
      reason: "image-invalid",
    });
    expect(await containersOf(box.id)).toEqual([]);
  });

  it("removes the image's volumes with the sandbox", async () => {
    const withVolume = await load("airlock-test-docker:volume", { Volumes: { "/cache": {} } });
    let name: string;
    {
      await using box = await sandboxWith();
      expect((await box.run("echo x > /cache/x", { image: withVolume })).status).toEqual(exited(0));
      const volumes = await volumesOf(box.id);
      expect(volumes).toHaveLength(1);
      name = volumes[0] ?? expect.unreachable();
      expect(await existingVolumes()).toContain(name);
    }
    expect(await existingVolumes()).not.toContain(name);
  });

  it("refuses an image without a shell, or with one that does not run", async () => {
    const { socketPath } = engines().docker ?? expect.unreachable();
    await loadImage(await shellLessImage(), socketPath, "airlock-test-docker:no-shell");
    const broken = await buildImage([[{ name: "bin/sh", mode: 0o755, content: "\u007fELF nonsense" }]]);
    await loadImage(broken, socketPath, "airlock-test-docker:broken-shell");
    await using box = await sandboxWith();
    for (const name of ["no-shell", "broken-shell"]) {
      const preparing = box.sandbox.prepareImage(`airlock-test-docker:${name}`, { signal, progress: () => {} });
      await expect(preparing).rejects.toMatchObject({
        reason: "image-invalid",
        message: expect.stringContaining("/bin/sh"),
      });
    }
    expect(await containersOf(box.id)).toEqual([]);
  });

  it("pulls an image and reports the progress", async () => {
    const { address } = engines().registry ?? expect.unreachable();
    const pushed = await pushImage(await buildImage([await busyboxLayer(), [{ name: "own", content: owner }]]), {
      ...{ registry: address, repository: "docker/pulled" },
    });
    await using box = await sandboxWith();
    const said: string[] = [];
    await box.sandbox.prepareImage(pushed, { signal, progress: (text) => said.push(text) });
    expect(said.at(-1)).toBe("pulled 2 layers");
    expect((await box.run("cat /own", { image: pushed })).stdout).toBe(owner);
  });

  it("distinguishes an unknown image from a registry that does not answer", async () => {
    const { address } = engines().registry ?? expect.unreachable();
    await using box = await sandboxWith();
    const reasonOf = (name: string) =>
      box.sandbox.prepareImage(name, { signal, progress: () => {} }).then(
        () => "prepared",
        (error: { reason?: string }) => error.reason,
      );
    expect(await reasonOf(`${address}/no/such:image`)).toBe("image-invalid");
    expect(await reasonOf("Not A Reference")).toBe("image-invalid");
    expect(await reasonOf(`${address.split(":")[0]}:1/some/image:1`)).toBe("image-unavailable");
  });

  it("shows the host's tools read-only, and nothing else of the host", async () => {
    await using box = await sandboxWith();
    const { status, stdout } = await box.run(
      "ls -A /home /root /opt 2>/dev/null; git --version; touch /usr/x; echo $?; cat /etc/passwd | wc -l",
      { image: "host" },
    );
    expect(status).toEqual(exited(0));
    expect(stdout).toMatch(/\/home:\n\n\/root:\n(?:.*\n)*git version .*\n1\n2\n$/);
    await using strict = {
      runtime: createDockerRuntime({ host: engine.host, allowHostImage: false, workspaces }),
      [Symbol.asyncDispose]() {
        return this.runtime.close();
      },
    };
    await using place = await openWorkplace(strict.runtime, { owner, image });
    await expect(place.sandbox.prepareImage("host", { signal, progress: () => {} })).rejects.toMatchObject({
      reason: "policy",
    });
  });

  it("makes the working directory inside the workspace, whatever symlinks the workspace contains", async () => {
    await using box = await sandboxWith();
    await symlink("/tmp", join(box.workspaceDir, "out"));
    const { stdout } = await box.run("pwd -P", { workingDirectory: "/data/out/airlock-x" });
    expect(stdout).toBe("/tmp/airlock-x\n");
    expect(await readdir("/tmp")).not.toContain("airlock-x");
  });

  it.each(["/proc/sys", "/dev", "../../../../etc"])("replaces a link to %s at an image's /data", async (target) => {
    const { socketPath } = engines().docker ?? expect.unreachable();
    const name = `airlock-test-docker:link${target.replaceAll(/[^a-z]+/g, "-")}`;
    const link = { name: "data", type: "symlink", linkname: target } as const;
    await loadImage(await buildImage([await busyboxLayer(), [link]], { Env: ["PATH=/bin"] }), socketPath, name);
    await using box = await sandboxWith();
    // Some engine versions refuse this, others make it harmless.
    await box.run("echo x > /data/airlock-owned", { image: name }).catch(() => {});
    expect(await readdir("/etc")).not.toContain("airlock-owned");
    expect(await readdir("/dev")).not.toContain("airlock-owned");
  });

  it("ends a container when its executor ends", async () => {
    const id = `t${randomBytes(6).toString("hex")}`;
    const program = `
      import { createDockerRuntime } from ${JSON.stringify(new URL("docker-runtime.ts", import.meta.url).href)};
      const signal = new AbortController().signal;
      const runtime = createDockerRuntime({ host: ${JSON.stringify(engine.host)}, allowHostImage: false, workspaces: ${JSON.stringify(workspaces)} });
      const limits = { cpus: 1, memoryBytes: 64 << 20, pids: 64 };
      const plan = { id: "${id}", owner: "${owner}", workspace: { checkout: null, files: [], readOnlyFiles: [] }, limits, egress: { kind: "none" } };
      const sandbox = await runtime.createSandbox(plan, { signal });
      const files = [{ path: "s.sh", content: "echo up; exec sleep 1000", executable: true }];
      const step = { key: "s", image: "${image}", files, script: "/airlock/s.sh", workingDirectory: "/data", env: {} };
      await sandbox.runStep(step, { signal, output: (_, bytes) => void process.stdout.write(bytes) });
    `;
    const child = spawn(process.execPath, ["--input-type=module", "--eval", program], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    await once(child.stdout, "data");
    const state = async () => (await containersOf(id)).map(({ State }) => State);
    expect(await state()).toEqual(["running"]);
    child.kill("SIGKILL");
    await expect.poll(state, { timeout: 5000 }).toEqual(["exited"]);
    const collected = await runtime.collect({ owner, keep: new Set(), signal });
    expect(collected.details.filter((detail) => detail.includes(id))).not.toEqual([]);
    expect(collected.sandboxes, collected.details.join()).toBe(1);
  });

  it("refuses an egress policy that it can't enforce", async () => {
    await expect(sandboxWith({ egress: { kind: "public" } })).rejects.toMatchObject({ reason: "policy" });
  });

  it("removes what its owner left after a crash and keeps everything else", async () => {
    await using left = await sandboxWith();
    await using kept = await sandboxWith();
    await left.run("true");
    await kept.run("true");
    expect((await runtime.collect({ owner: "another", keep: new Set(), signal })).sandboxes).toBe(0);
    const collected = await runtime.collect({ owner, keep: new Set([kept.id]), signal });
    expect(collected.sandboxes).toBe(1);
    const cgroup = process.geteuid?.() === 0 ? [`removed cgroup ${left.id}`] : [];
    expect(collected.details).toEqual([
      `removed container airlock-${owner}-${left.id}-1`,
      ...cgroup,
      `removed the workspace ${left.id}`,
    ]);
    expect(await containersOf(left.id)).toEqual([]);
    expect((await kept.run("echo here")).stdout).toBe("here\n");
  });
});

describeWithEngines(["docker"], "a Docker engine that dies", () => {
  it("while a step runs is reported at once as an infrastructure error", async () => {
    const own = await startEngines(["docker"]);
    const socketPath = own.engines.docker?.socketPath ?? expect.unreachable();
    await loadImage(await busyboxImage(), socketPath, image);
    const runtime = createDockerRuntime({ host: `unix://${socketPath}`, allowHostImage: false, workspaces });
    const place = await openWorkplace(runtime, { owner, image, limits: { memoryBytes: 64 << 20, pids: 64 } });
    let stopped: Promise<unknown> = Promise.resolve();
    const running = place.start("echo up; exec sleep 1000", {
      output: () => {
        stopped = Promise.resolve(own[Symbol.asyncDispose]());
      },
    });
    await expect(running).rejects.toMatchObject({ reason: "runtime" });
    await stopped;
    await expect(Promise.resolve(place[Symbol.asyncDispose]())).rejects.toMatchObject({ reason: "runtime" });
    await runtime.close();
  });
});

it("explains how to write the engine's address", () => {
  expect(() => createDockerRuntime({ host: "docker", allowHostImage: false, workspaces })).toThrow(
    "not the address of a Docker engine",
  );
});

it("reports that no engine answers", async () => {
  const runtime = createDockerRuntime({ host: "unix:///nonexistent/docker.sock", allowHostImage: false, workspaces });
  await expect(runtime.describe({ signal })).rejects.toMatchObject({ reason: "runtime", message: /cannot reach/ });
  await runtime.close();
});
