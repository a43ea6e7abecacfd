import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Duplex, Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { outputOf } from "@airlock/process";
import { describeWithEngines, temporaryDirectory } from "@airlock/test-kit";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { type LaunchPlan, launchCommand, mountTable } from "./launcher.ts";
import { OutputPipePool, type OutputPipes } from "./output-pipes.ts";

describe("the table of a launcher's mounts", () => {
  it("has a line for each mount, and creates missing targets", () => {
    const mounts = [
      { source: "overlay", target: "/stage/rootfs", type: "overlay", options: "lowerdir=a:b" },
      { source: "/work", target: "/stage/data", type: "none", options: "bind,nodev" },
    ];

    expect(mountTable(mounts)).toBe(
      "overlay /stage/rootfs overlay lowerdir=a:b,X-mount.mkdir 0 0\n" +
        "/work /stage/data none bind,nodev,X-mount.mkdir 0 0\n",
    );
  });

  it("does not let a path start another field, line or comment", () => {
    const table = mountTable([{ source: "#a b\tc\n", target: "/d\\e", type: "none", options: "bind" }]);

    expect(table).toBe("\\043a\\040b\\011c\\012 /d\\134e none bind,X-mount.mkdir 0 0\n");
  });
});

describeWithEngines(["oci"], "a launcher", () => {
  let stack: AsyncDisposableStack;
  let directory: string;
  let pipes: OutputPipes;

  beforeEach(async () => {
    stack = new AsyncDisposableStack();
    directory = stack.use(await temporaryDirectory("airlock-launcher-")).path;
    await mkdir(join(directory, "pipes"));
    const pool = new OutputPipePool(join(directory, "pipes"));
    ({ pipes } = await pool.open());
    stack.defer(() => {
      pipes.closeWriters();
      pipes.stdout.destroy();
      pipes.stderr.destroy();
    });
  });
  afterEach(() => stack.disposeAsync());

  /** Starts a launcher as the executor does. */
  function launch(command: readonly string[], plan: Partial<LaunchPlan> = {}) {
    const { file, args } = launchCommand({
      networkNamespace: null,
      opensNetwork: false,
      mountTable: null,
      joinFiles: [],
      command,
      outputPaths: pipes.paths,
      channelDescriptor: 3,
      isRoot: process.geteuid?.() === 0,
      ...plan,
    });
    const child = spawn(file, args, { stdio: ["ignore", "ignore", "pipe", "ignore", "pipe", "pipe"] });
    return new Launched(child, stack);
  }

  it("runs the command only when it is told to, and reports its exit code", async () => {
    const launched = launch(["/bin/sh", "-c", `echo ran >${join(directory, "ran")}; exit 7`]);
    await launched.isReady;
    await expect(readFile(join(directory, "ran"))).rejects.toThrow("ENOENT");

    launched.channel.write("go\n");

    expect(await launched.report).toBe("7\n");
    expect(await launched.exited).toBe(7);
    expect(await readFile(join(directory, "ran"), "utf8")).toBe("ran\n");
  });

  it("closes the output no later than it reports, even if its outer processes are still exiting", async () => {
    const launched = launch(["/bin/sh", "-c", "echo out; echo err >&2"]);
    const printed = Promise.all([text(pipes.stdout), text(pipes.stderr)]);
    await launched.isReady;
    pipes.closeWriters();
    // The outer process can't exit now. If it held the pipes, they would not end.
    process.kill(launched.pid, "SIGSTOP");
    launched.channel.write("go\n");

    expect(await launched.report).toBe("0\n");
    expect(await printed).toEqual(["out\n", "err\n"]);

    process.kill(launched.pid, "SIGCONT");
    expect(await launched.exited).toBe(0);
  });

  it("passes the command the channel, but neither the launcher's error output nor the report", async () => {
    const launched = launch([
      "/bin/sh",
      "-c",
      "for n in 0 1 2 3 4 5; do [ -e /proc/$$/fd/$n ] && echo $n; done; echo from the step >&3",
    ]);
    const printed = text(pipes.stdout);
    await launched.isReady;
    const answer = once(launched.channel, "data");
    pipes.closeWriters();
    launched.channel.write("go\n");

    expect(String(await answer)).toBe("from the step\n");
    expect(await launched.report).toBe("0\n");
    expect(await printed).toBe("0\n1\n2\n3\n");
  });

  it("reports 137 for a command that the kernel killed", async () => {
    const launched = launch(["/bin/sh", "-c", "sleep 1000 & echo started; wait"]);
    const started = once(pipes.stdout, "data");
    await launched.isReady;
    launched.channel.write("go\n");
    await started;
    const [shell] = await childrenOf(launched.pid);
    const [command] = await childrenOf(shell ?? 0);

    process.kill(command ?? 0, "SIGKILL");

    expect(await launched.report).toBe("137\n");
    expect(await launched.exited).toBe(137);
  });

  it("never runs the command after the executor's end of the channel is closed", async () => {
    const launched = launch(["/bin/sh", "-c", `echo ran >${join(directory, "ran")}`]);
    await launched.isReady;

    launched.channel.end();

    expect(await launched.exited).not.toBe(0);
    await expect(readFile(join(directory, "ran"))).rejects.toThrow("ENOENT");
  });

  it("ends with all its processes when it is killed, both while it waits and while the command runs", async () => {
    const mark = `${1e9 + process.pid}`;
    const launched = launch(["/bin/sh", "-c", `setsid sleep ${mark} & echo started; sleep ${mark}`]);
    const started = once(pipes.stdout, "data");
    await launched.isReady;
    launched.channel.write("go\n");
    await started;
    const sleeping = async () =>
      (await outputOf(["ps", "-eo", "args"])).split("\n").filter((args) => args === `sleep ${mark}`);
    await vi.waitFor(async () => expect(await sleeping()).toHaveLength(2), 10_000);

    launched.child.kill("SIGKILL");

    await vi.waitFor(async () => expect(await sleeping()).toEqual([]), 10_000);
  });

  it("makes its mounts and joins its cgroups before it is ready, and reports what fails", async () => {
    const table = join(directory, "mounts");
    const place = join(directory, "place");
    await writeFile(table, mountTable([{ source: "tmpfs", target: place, type: "tmpfs", options: "size=4k" }]));
    const joinFile = join(directory, "joined");
    const launched = launch(["/bin/sh", "-c", `stat -f -c %T ${place}`], { mountTable: table, joinFiles: [joinFile] });
    const printed = text(pipes.stdout);
    await launched.isReady;
    pipes.closeWriters();
    expect(await readFile(joinFile, "utf8")).toBe("0\n");
    launched.channel.write("go\n");
    expect(await launched.report).toBe("0\n");
    expect(await printed).toBe("tmpfs\n");
    expect(await readFile("/proc/self/mountinfo", "utf8")).not.toContain(directory);

    const failing = launch(["/bin/true"], { joinFiles: [join(directory, "missing", "cgroup.procs")] });
    expect(await failing.exited).not.toBe(0);
    expect(await failing.errors).toContain("missing/cgroup.procs");
  });
});

class Launched {
  readonly child: ChildProcess;
  readonly channel: Duplex;
  readonly isReady: Promise<void>;
  readonly report: Promise<string>;
  readonly errors: Promise<string>;
  readonly exited: Promise<number | null>;

  constructor(child: ChildProcess, stack: AsyncDisposableStack) {
    this.child = child;
    this.channel = child.stdio[4] as Duplex;
    this.channel.on("error", () => {});
    this.isReady = once(this.channel, "data").then(([bytes]) => expect(String(bytes)).toBe("ready\n"));
    this.report = once(child.stdio.at(5) as Readable, "data").then(([bytes]) => String(bytes));
    this.errors = text(child.stderr as Readable);
    this.exited = once(child, "exit").then(([code]) => code);
    for (const promise of [this.isReady, this.report]) promise.catch(() => {});
    stack.defer(async () => {
      child.kill("SIGKILL");
      await this.exited;
    });
  }

  get pid(): number {
    return this.child.pid ?? 0;
  }
}

async function childrenOf(pid: number): Promise<number[]> {
  const children = await readFile(`/proc/${pid}/task/${pid}/children`, "utf8");
  return children.trim().split(" ").map(Number);
}
