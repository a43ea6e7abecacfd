import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, readdir, readFile, stat, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { outputOf } from "@airlock/process";
import {
  buildImage,
  busyboxImage,
  busyboxLayer,
  describeWithEngines,
  dockerArchive,
  type FixtureImage,
  openWorkplace,
  type StartOptions,
  temporaryDirectory,
} from "@airlock/test-kit";
import { expect, it, vi } from "vitest";
import { readProcessStatus } from "../host/process-status.ts";
import { hostPlace } from "../testing/host-place.ts";
import { createOciRuntime } from "./index.ts";

const never = new AbortController().signal;
const limits = { cpus: 1, memoryBytes: 256 * 2 ** 20, pids: 100 };

describeWithEngines(["oci"], "a sandbox of the oci runtime", () => {
  it("distinguishes an exit code of 137 from a kill", async () => {
    await using place = await openPlace();

    expect((await place.run("exit 137")).status).toEqual({ kind: "exited", exitCode: 137 });
    expect((await place.run("sh -c 'kill -9 $$'")).status).toEqual({ kind: "exited", exitCode: 137 });
  });

  it("gives each step a fresh root file system", async () => {
    await using place = await openPlace();

    await place.run("echo changed > /etc/passwd; rm /bin/ls; touch /left-behind");

    const { stdout } = await place.run("head -1 /etc/passwd; ls / | grep left; cat /etc/hostname");
    expect(stdout).toBe(`root:x:0:0:root:/root:/bin/sh\n${place.id}\n`);
  });

  it("prepares the next step's root file system early, as fresh as any, and removes it when it is disposed", async () => {
    await using place = await openPlace();
    const steps = join(place.stateDir, "sandboxes", place.owner, place.id, "steps");
    const another = { nextImage: "fixture:1" };

    await place.run("touch /left-behind", another);
    await vi.waitFor(async () => expect(await launchersOf(place.id)).toHaveLength(1), 10_000);
    const { stdout } = await place.run("ls / | grep left; cat /etc/hostname", another);
    expect(stdout).toBe(`${place.id}\n`);

    // The second step took the prepared place, so this one is for the third step.
    await vi.waitFor(async () => expect(await readdir(steps)).toEqual(["3"]), 10_000);
    await place.dispose();
    expect(await launchersOf(place.id)).toEqual([]);
  });

  it("ends a process that joins a step's cgroup only when its launcher is dead", async () => {
    await using place = await openPlace();
    await place.run("true", { nextImage: "fixture:1" });
    const [launcher = 0] = await vi.waitFor(async () => {
      const found = await launchersOf(place.id);
      expect(found).toHaveLength(1);
      return found;
    }, 10_000);
    const cgroups = await readFile(`/proc/${launcher}/cgroup`, "utf8");
    const [, path = ""] = /:(\/.*\/2)$/m.exec(cgroups) ?? expect.unreachable();
    // unshare(1) can leave such a process: its child asks to die with it only after the fork.
    const late = spawn("/bin/sh", [
      "-c",
      `all=$(find /sys/fs/cgroup -path '*${path}/cgroup.procs')
       echo ready
       while kill -0 ${launcher}; do :; done
       for procs in $all; do echo 0 >"$procs" || exit; done
       exec sleep 1000`,
    ]);
    await once(late.stdout, "data");
    const ended = once(late, "exit");

    await place.dispose();

    expect(await ended).not.toEqual([0, null]);
  });

  it("prepares another root file system for a step whose waiting launcher has died", async () => {
    await using place = await openPlace();
    const steps = join(place.stateDir, "sandboxes", place.owner, place.id, "steps");
    const another = { nextImage: "fixture:1" };

    await place.run("true", another);
    const [launcher] = await vi.waitFor(async () => {
      const found = await launchersOf(place.id);
      expect(found).toHaveLength(1);
      return found;
    }, 10_000);
    // Its outer process ends with it, a moment later.
    const outer = readProcessStatus(launcher ?? 0)?.parent ?? expect.unreachable();
    process.kill(launcher ?? 0, "SIGKILL");
    await vi.waitFor(() => expect(readProcessStatus(outer)?.isDead).not.toBe(false), 10_000);

    expect((await place.run("echo here")).stdout).toBe("here\n");
    await vi.waitFor(async () => expect(await readdir(steps)).toEqual([]), 10_000);
  });

  it("ignores the image's entry point, command and working directory", async () => {
    await using place = await openPlace(
      await busyboxImage({
        Entrypoint: ["/bin/sh", "-c", "echo evil entrypoint"],
        Cmd: ["echo", "evil command"],
        WorkingDir: "/tmp",
        Volumes: { "/var/run/docker.sock": {}, "/data/../../etc": {} },
      }),
    );

    expect((await place.run("pwd; echo mine")).stdout).toBe("/data\nmine\n");
  });

  it("runs as the image's user, without capabilities", async () => {
    await using place = await openPlace(await busyboxImage({ User: "app" }));

    const { stdout } = await place.run(
      'id -u; id -g; grep CapEff /proc/self/status; echo x > /dev/stdout; echo "$HOME"',
    );

    expect(stdout).toBe("1234\n1234\nCapEff:\t0000000000000000\nx\n/\n");
  });

  it("does not follow the image's links when it places its own files", async () => {
    await using place = await openPlace(
      await buildImage([
        [
          ...(await busyboxLayer()),
          { name: "etc/hosts", type: "symlink", linkname: "/data/hosts" },
          { name: "etc/resolv.conf", type: "symlink", linkname: "../../../../../../etc/resolv.conf" },
        ],
      ]),
    );

    expect((await place.run("cat /etc/hosts; ls /data")).stdout).toContain("localhost");
    expect(await readdir(place.workspaceDir)).toEqual([]);
  });

  it("makes the working directory only inside itself, whatever the workspace links to", async () => {
    await using place = await openPlace();
    const outside = join(place.directory, "outside");
    await mkdir(outside);
    await symlink(outside, join(place.workspaceDir, "absolute"));
    await symlink("../outside", join(place.workspaceDir, "relative"));

    const statuses = [
      await place.tryRun("pwd", { workingDirectory: "/data/absolute/made" }),
      await place.tryRun("pwd", { workingDirectory: "/data/relative/made" }),
    ];

    expect(await readdir(outside)).toEqual([]);
    expect(statuses).toHaveLength(2);
  });

  it.each(["/data/../etc", "/", "/etc", "data", "/data/./x", "/database"])(
    "refuses the working directory %s",
    async (path) => {
      await using place = await openPlace();

      await expect(place.run("true", { workingDirectory: path })).rejects.toMatchObject({ reason: "policy" });
    },
  );

  it("keeps a step's environment readable only by root, and only while the step runs", async () => {
    await using place = await openPlace();
    const stop = new AbortController();
    const running = place.run("echo ready; sleep 1000", { env: { SECRET: "s3cret" }, signal: stop.signal });
    running.catch(() => {});
    const steps = join(place.stateDir, "sandboxes", place.owner, place.id, "steps");
    const config = await vi.waitFor(async () => {
      const path = join(steps, "1", "config.json");
      expect(await readFile(path, "utf8")).toContain("s3cret");
      return path;
    }, 10_000);

    expect((await stat(config)).mode & 0o777).toBe(0o600);
    expect((await stat(join(place.stateDir, "sandboxes"))).mode & 0o777).toBe(0o700);
    stop.abort(new Error("enough"));
    await expect(running).rejects.toThrow("enough");
    await vi.waitFor(async () => expect(await readdir(steps)).toEqual([]), 10_000);
  });

  it("refuses environment variables that would be parsed as several variables", async () => {
    await using place = await openPlace();

    await expect(place.run("true", { env: { "A=B": "c" } })).rejects.toMatchObject({ reason: "policy" });
    await expect(place.run("true", { env: { A: "b\0C=d" } })).rejects.toMatchObject({ reason: "policy" });
  });

  it("collects the rest when one of the abandoned sandboxes can't be removed, and names the owner", async () => {
    await using place = await openPlace();
    const sandboxes = join(place.stateDir, "sandboxes", place.owner);
    const stuck = join(sandboxes, "a-stuck", "file");
    for (const name of ["a-stuck", "b-removable"]) await mkdir(join(sandboxes, name));
    await writeFile(stuck, "");
    await outputOf(["chattr", "+i", stuck]);
    const collect = () => place.runtime.collect({ owner: place.owner, keep: new Set([place.id]), signal: never });
    try {
      await expect(collect()).rejects.toMatchObject({
        reason: "runtime",
        message: `cannot remove all that sandboxes of ${place.owner} left`,
      });
      expect((await readdir(sandboxes)).toSorted()).toEqual(["a-stuck", place.id].toSorted());
    } finally {
      await outputOf(["chattr", "-i", stuck]);
    }
    expect(await collect()).toMatchObject({ sandboxes: 1 });
  });

  it("is removed completely after the executor was killed", async () => {
    await using place = await openPlace();
    const seconds = String(100_000 + process.pid);
    const program = abandonProgram(place, seconds);
    const child = spawn(process.execPath, ["--input-type=module", "-e", program], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    await once(child.stdout, "data");
    await vi.waitFor(async () => expect(await commandLines(seconds)).toHaveLength(2), 10_000);
    child.kill("SIGKILL");
    await once(child, "exit");
    await vi.waitFor(async () => expect(await commandLines(seconds)).toEqual([]), 10_000);

    const collected = await place.runtime.collect({ owner: place.owner, keep: new Set([place.id]), signal: never });

    expect(collected.sandboxes).toBe(1);
    expect(await readdir(join(place.stateDir, "sandboxes", place.owner))).toEqual([place.id]);
    const mounts = (await readFile("/proc/self/mountinfo", "utf8")).split("\n");
    expect(mounts.filter((line) => line.includes(place.stateDir) && !line.includes(`/${place.id}/`))).toEqual([]);
  });

  it("refuses system calls that reach rarely used parts of the kernel", async () => {
    await using place = await openPlace();
    const numbers = systemCalls[process.arch] ?? {};
    const perl = Object.entries(numbers).map(
      ([name, number]) => `$! = 0; syscall(${number}, 0, 0, 0, 0, 0); print "${name} ", $! + 0, "\\n";`,
    );
    const files = [{ path: "calls.pl", content: perl.join("\n"), executable: false }];

    const { stdout } = await place.run("perl /airlock/calls.pl", { image: "host", files });

    expect(Object.keys(numbers)).not.toEqual([]);
    expect(stdout).toBe(
      Object.keys(numbers)
        .map((name) => `${name} ${name === "clone3" ? 38 : 1}\n`)
        .join(""),
    );
  });
});

/**
 * System calls that are denied whatever their arguments. Most of them would otherwise fail with an error other than
 * EPERM.
 */
const systemCalls: Partial<Record<NodeJS.Architecture, Readonly<Record<string, number>>>> = {
  x64: {
    ptrace: 101,
    pivot_root: 155,
    mount: 165,
    init_module: 175,
    kexec_load: 246,
    add_key: 248,
    request_key: 249,
    keyctl: 250,
    unshare: 272,
    perf_event_open: 298,
    open_by_handle_at: 304,
    setns: 308,
    process_vm_readv: 310,
    bpf: 321,
    userfaultfd: 323,
    io_uring_setup: 425,
    open_tree: 428,
    fsopen: 430,
    clone3: 435,
  },
  arm64: {
    pivot_root: 41,
    mount: 40,
    unshare: 97,
    kexec_load: 104,
    init_module: 105,
    ptrace: 117,
    add_key: 217,
    request_key: 218,
    keyctl: 219,
    perf_event_open: 241,
    open_by_handle_at: 265,
    setns: 268,
    process_vm_readv: 270,
    bpf: 280,
    userfaultfd: 282,
    io_uring_setup: 425,
    open_tree: 428,
    fsopen: 430,
    clone3: 435,
  },
};

/** Opens a runtime with one image and one sandbox. */
async function openPlace(image?: FixtureImage) {
  await using cleanup = new AsyncDisposableStack();
  const { path: directory } = cleanup.use(await temporaryDirectory("airlock-oci-"));
  const stateDir = join(directory, "state");
  const runtime = await createOciRuntime({ stateDir, allowHostImage: true });
  cleanup.defer(() => runtime.close());
  const archive = join(directory, "image.tar");
  await writeFile(archive, await dockerArchive(image ?? (await busyboxImage()), "fixture:1"));
  await runtime.loadImages(archive, { signal: never });
  const owner = `sandbox-test-${process.pid}`;
  // Also collects what a failed test left behind.
  cleanup.defer(async () => void (await runtime.collect({ owner, keep: new Set(), signal: never })));
  const id = `s-${directory
    .slice(-6)
    .toLowerCase()
    .replace(/[^a-z0-9]/g, "x")}`;
  const place = cleanup.use(await openWorkplace(runtime, { id, owner, image: "fixture:1", limits }));
  const owned = cleanup.move();
  return {
    runtime,
    owner,
    id,
    directory,
    stateDir,
    workspaceDir: hostPlace(join(stateDir, "workspaces"), { owner, id }).workspaceDir,
    run: place.run,
    dispose: () => place[Symbol.asyncDispose](),
    tryRun: (script: string, options: StartOptions) =>
      place.run(script, options).catch((error: unknown) => String(error)),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** Code of an executor that starts a step and never ends it. */
function abandonProgram({ stateDir, owner }: Awaited<ReturnType<typeof openPlace>>, seconds: string): string {
  const module = fileURLToPath(new URL("index.ts", import.meta.url));
  const workspace = { checkout: null, files: [], readOnlyFiles: [] };
  const plan = { id: "abandoned", owner, workspace, limits, egress: { kind: "none" } };
  return `
    const { createOciRuntime } = await import(${JSON.stringify(module)});
    const { signal } = new AbortController();
    const runtime = await createOciRuntime({ stateDir: ${JSON.stringify(stateDir)}, allowHostImage: false });
    const files = [{ path: "abandoned", content: "setsid sleep ${seconds} & echo ready; sleep ${seconds}", executable: true }];
    const sandbox = await runtime.createSandbox(${JSON.stringify(plan)}, { signal });
    const step = { key: "k", image: "fixture:1", files, script: "/airlock/abandoned", workingDirectory: "/data", env: {} };
    await sandbox.runStep(step, { signal, output: (_, bytes) => process.stdout.write(bytes) });
  `;
}

/** Ids of the launcher processes that wait for a step of the sandbox. */
async function launchersOf(sandbox: string): Promise<readonly number[]> {
  const found: number[] = [];
  for (const pid of await readdir("/proc")) {
    if (!/^\d+$/.test(pid)) continue;
    const words = await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "");
    // The outer process of a launcher is unshare(1).
    if (!words.startsWith("/bin/sh\0") || !words.includes("airlock-launcher")) continue;
    if (words.includes(`airlock-${sandbox}-`)) found.push(Number(pid));
  }
  return found;
}

async function commandLines(text: string): Promise<readonly string[]> {
  const found: string[] = [];
  for (const pid of await readdir("/proc")) {
    if (!/^\d+$/.test(pid) || Number(pid) === process.pid) continue;
    const words = await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "");
    if (words.startsWith("sleep") && words.includes(text)) found.push(words);
  }
  return found;
}
