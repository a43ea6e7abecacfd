import { randomBytes, randomUUID } from "node:crypto";
import { readdir, readFile, stat, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:net";
import { networkInterfaces } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { type AirlockError, leastResources } from "@airlock/job";
import type { Runtime, RuntimeDescription, Sandbox, SandboxLimits, StepStatus } from "@airlock/runtime";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { describeWithEngines, type EngineName } from "./engines.ts";
import type { FixtureImage } from "./fixture-images.ts";
import { describeEndings } from "./runtime-contract-endings.ts";
import { describeEnvironment } from "./runtime-contract-environment.ts";
import { itTakesImages } from "./runtime-contract-images.ts";
import { describeWorkspace } from "./runtime-contract-workspace.ts";
import { temporaryDirectory } from "./temporary-directory.ts";
import { openWorkplace, type Workplace, type WorkplaceOptions } from "./workplace.ts";

export interface RuntimeUnderTest {
  readonly runtime: Runtime;
  /** Owner of this suite's sandboxes, used by no other suite. */
  readonly owner: string;
  readonly images: {
    /** Has `/bin/sh` and busybox's applets, runs as root, sets `FROM_IMAGE=yes`. */
    readonly shell: string;
    /** An existing image without `/bin/sh`. */
    readonly noShell: string;
    /** The same as `shell`, with `USER 1000:1000`. */
    readonly unprivileged: string;
    /** Its registry answers but does not have the image. */
    readonly unknown: string;
  };
  /** Adds an image to the runtime and returns the reference for jobs. */
  provide(image: FixtureImage, name: string): Promise<string>;
  dispose(): Promise<void>;
}

/**
 * Tests the contract that every runtime has to fulfill. Each runtime's test file calls this once.
 * @param options.sharesKernel `false` if a kernel in user space runs the steps. Then the host does not see their
 * processes, and limits apply to that kernel as a whole. Default: `true`.
 */
export function describeRuntime(
  name: string,
  engineNames: readonly EngineName[],
  create: (options: { readonly allowHostImage: boolean }) => Promise<RuntimeUnderTest>,
  { sharesKernel = true }: { readonly sharesKernel?: boolean } = {},
): void {
  describeWithEngines(engineNames, `${name} runtime`, () => {
    let subject: RuntimeUnderTest;
    let host: Server;
    let hostPort: number;
    let enforces: RuntimeDescription["enforces"];
    beforeAll(async () => {
      subject = await create({ allowHostImage: true });
      ({ enforces } = await subject.runtime.describe({ signal: never }));
      host = createServer((socket) => socket.end("HTTP/1.0 200 OK\r\n\r\nreached the host"));
      await new Promise<void>((resolve) => host.listen(0, "0.0.0.0", resolve));
      const address = host.address();
      hostPort = typeof address === "object" && address ? address.port : 0;
    });
    afterAll(async () => {
      await new Promise((resolve) => host?.close(resolve));
      await subject?.dispose();
    });
    /** A file of this host that no sandbox may see. */
    const witness = fileURLToPath(import.meta.url);
    const open = (options: Partial<WorkplaceOptions> = {}) => openSubject(subject, options);

    it("says what it is and what it enforces", async () => {
      const description = await subject.runtime.describe({ signal: never });

      expect(description.version).toMatch(/\d/);
      expect(description.enforces.egressNone).toBe(true);
      for (const note of description.notes) expect(note).toMatch(/^[A-Z].*\.$/s);
    });

    describe("a step's result", () => {
      it("is its exit code, whatever it is", async () => {
        await using place = await open();

        expect((await place.run("true")).status).toEqual({ kind: "exited", exitCode: 0 });
        expect((await place.run("exit 3")).status).toEqual({ kind: "exited", exitCode: 3 });
      });

      it("keeps every exit code, and names no signal for one above 128", async () => {
        await using place = await open();
        const codes = [125, 126, 127, 128, 129, 134, 137, 139, 143, 144, 145, 150, 157, 158, 192, 193, 255];

        const statuses: StepStatus[] = [];
        for (const code of codes) statuses.push((await place.run(`exit ${code}`)).status);

        expect(statuses).toEqual(codes.map((exitCode) => ({ kind: "exited", exitCode })));
      });

      it("is 128 + n, as in a shell, when signal n ended the script", async () => {
        await using place = await open();

        expect((await place.run("kill -TERM $$; sleep 60")).status).toEqual({ kind: "exited", exitCode: 143 });
        expect((await place.run("kill -KILL $$; sleep 60")).status).toEqual({ kind: "exited", exitCode: 137 });
        expect((await place.run("exec sh -c 'kill -ABRT $$; sleep 60'")).status).toEqual({
          kind: "exited",
          exitCode: 134,
        });
      });

      it("comes when the step ends, also after it printed nothing for a while", async () => {
        await using place = await open();

        const { status, stdout } = await place.run("sleep 2; echo late; exit 5");

        expect([status, stdout]).toEqual([{ kind: "exited", exitCode: 5 }, "late\n"]);
      });

      it("comes when the step has closed its output long before", async () => {
        await using place = await open();

        expect((await place.run("exec >&- 2>&-; sleep 1; exit 4")).status).toEqual({ kind: "exited", exitCode: 4 });
      });

      it("does not wait for a daemon that holds the output open, and no process is left", async () => {
        await using place = await open();
        const token = uniqueSeconds();
        const started = Date.now();

        const { status, stdout } = await place.run(`sleep ${token} & setsid sleep ${token} & echo started; exit 0`);

        expect(status).toEqual({ kind: "exited", exitCode: 0 });
        expect(stdout).toBe("started\n");
        expect(Date.now() - started).toBeLessThan(10_000);
        expect(await hostProcesses(token)).toEqual([]);
      });

      it("names a kill for lack of memory", async ({ skip }) => {
        skip(!enforces.memory, "this host can't limit it");
        await using place = await open({ limits: { memoryBytes: 64 * 2 ** 20 } });

        const { status } = await place.run("tail /dev/zero");

        expect(status).toEqual({ kind: "killed", signal: "SIGKILL", outOfMemory: true });
        expect((await place.run("echo still usable")).stdout).toBe("still usable\n");
      });
    });

    describe("a step's output", () => {
      it("comes apart and in order", async () => {
        await using place = await open();

        const { stdout, stderr } = await place.run("for i in 1 2 3; do echo out $i; echo err $i >&2; done");

        expect(stdout).toBe("out 1\nout 2\nout 3\n");
        expect(stderr).toBe("err 1\nerr 2\nerr 3\n");
      });

      it("is delivered to the byte", async () => {
        await using place = await open();
        const bytes = randomBytes(1 << 20);

        const { stdoutBytes } = await place.run("cat /airlock/blob", {
          files: [{ path: "blob", content: bytes, executable: false }],
        });

        expect(stdoutBytes.equals(bytes)).toBe(true);
      });

      it("can be opened by its name", async () => {
        await using place = await open();

        const { stdout, stderr } = await place.run("echo out > /dev/stdout; echo err > /dev/stderr");

        expect([stdout, stderr]).toEqual(["out\n", "err\n"]);
      });

      it("waits for a slow reader instead of filling memory", async () => {
        await using place = await open();
        const total = 64 * 2 ** 20;
        const before = usedMemory();
        let received = 0;
        let measuredAt = 0;
        let peak = 0;
        let running = 0;

        const status = await place.start("head -c 67108864 /dev/zero", {
          output: async (_, bytes) => {
            running += 1;
            expect(running).toBe(1);
            received += bytes.length;
            await delay(1);
            // Not at each piece: collecting garbage takes milliseconds.
            if (received - measuredAt >= total / 16) {
              measuredAt = received;
              peak = Math.max(peak, usedMemory() - before);
            }
            running -= 1;
          },
        });

        expect(status).toEqual({ kind: "exited", exitCode: 0 });
        expect(received).toBe(total);
        expect(peak).toBeLessThan(48 * 2 ** 20);
      });

      it("that its reader can't take ends the step with the reader's error", async () => {
        await using place = await open();
        const token = uniqueSeconds();
        const failure = new Error("the log is full");

        const running = place.start(`echo x; exec sleep ${token}`, { output: () => Promise.reject(failure) });

        await expect(running).rejects.toBe(failure);
        expect(await hostProcesses(token)).toEqual([]);
      });
    });

    describe("a step's surroundings", () => {
      it("have the environment of the image and of the step, which wins", async () => {
        await using place = await open();

        const { stdout } = await place.run('echo "$FROM_IMAGE $FROM_STEP"', { env: { FROM_STEP: "a b\n$c" } });
        const { stdout: won } = await place.run('echo "$FROM_IMAGE"', { env: { FROM_IMAGE: "step" } });

        expect(stdout).toBe("yes a b\n$c\n");
        expect(won).toBe("step\n");
      });

      // With gVisor the host does not see the steps' processes.
      if (sharesKernel) {
        it("never show the environment on a command line of the host", async () => {
          await using place = await open();
          const secret = `secret-${randomUUID()}`;
          const token = uniqueSeconds();

          const running = place.start(`sleep ${token}`, { env: { SECRET: secret }, signal: AbortSignal.timeout(3000) });
          running.catch(() => {});
          await until(async () => (await hostProcesses(token)).length > 0);
          const seen = await hostProcesses(secret);

          expect(seen).toEqual([]);
          await expect(running).rejects.toThrow();
        });
      }

      it("have the working directory, made if it is missing", async () => {
        await using place = await open();

        const { stdout, status } = await place.run("pwd; touch here", { workingDirectory: "/data/not/yet" });

        expect(status).toEqual({ kind: "exited", exitCode: 0 });
        expect(stdout).toBe("/data/not/yet\n");
        expect(await place.list("not/yet")).toEqual(["here"]);
      });

      it("share the workspace over the steps, and with the caller", async () => {
        await using place = await open();
        await place.put("from-host", "host\n");

        await place.run("cat from-host > copy");

        expect((await place.run("cat copy")).stdout).toBe("host\n");
        expect(await place.read("copy")).toBe("host\n");
      });

      it("keep the scripts from being changed", async () => {
        await using place = await open();
        const files = [{ path: "other.sh", content: "echo original\n", executable: true }];

        const { stdout } = await place.run(
          `for path in other.sh new deep/x; do (echo evil > /airlock/$path) 2>/dev/null && echo written; done
           mv /airlock/other.sh /airlock/moved 2>/dev/null && echo moved
           rm -f /airlock/other.sh 2>/dev/null && echo removed
           chmod 777 /airlock/other.sh 2>/dev/null && echo changed
           /airlock/other.sh; ls /airlock`,
          { key: "first", files },
        );

        expect(stdout).toBe("original\nfirst.sh\nother.sh\n");
      });

      it("know their own host name without a network, in each image and step", async () => {
        await using place = await open();
        // Reads /etc/hosts with awk, because busybox has no `getent`.
        const named = "awk -v name=\"$(hostname)\" '{ for (i = 2; i <= NF; i++) if ($i == name) print $1 }' /etc/hosts";

        for (const image of [subject.images.shell, subject.images.unprivileged]) {
          const { stdout } = await place.run(named, { image });
          expect(stdout, image).toMatch(/^(127\.\d+\.\d+\.\d+|::1)$/m);
        }
      });

      it("show nothing of the host's files", async () => {
        await using place = await open();

        const { stdout } = await place.run(
          `for path in '${witness}' /var/run/docker.sock /run/docker.sock; do
             [ -e "$path" ] && echo "$path"
           done; true`,
        );

        expect(stdout).toBe("");
      });

      // With gVisor the host does not see the steps' processes.
      if (sharesKernel) {
        it("show no process of the host or of another sandbox", async () => {
          await using place = await open();
          await using other = await open();
          const token = uniqueSeconds();
          const stop = new AbortController();
          const running = other.start(`sleep ${token}`, { signal: stop.signal });
          running.catch(() => {});
          await until(async () => (await hostProcesses(token)).length > 0);

          await place.run("echo mine > mine");
          const { stdout } = await place.run("ls /data; cat /proc/[0-9]*/cmdline | tr '\\0' ' '");

          expect(stdout).toContain("mine");
          expect(stdout).not.toContain(token);
          expect(stdout).not.toContain("vitest");
          expect(await place.list()).toEqual(["mine"]);
          stop.abort(new Error("enough"));
          await expect(running).rejects.toThrow("enough");
        });
      }
    });

    describe("a step's rights", () => {
      // With gVisor these attempts don't reach the host's kernel.
      if (sharesKernel) {
        it("are few capabilities, no new privileges, and a system call filter", async () => {
          await using place = await open();

          const { stdout } = await place.run("cat /proc/self/status");

          const field = (key: string) => new RegExp(`^${key}:\\s*(\\S+)$`, "m").exec(stdout)?.[1];
          expect(field("NoNewPrivs")).toBe("1");
          expect(field("Seccomp")).toBe("2");
          for (const set of ["CapEff", "CapPrm", "CapBnd"]) {
            const held = BigInt(`0x${field(set)}`);
            const dangerous = Object.entries(dangerousCapabilities).filter(([, bit]) => (held & (1n << bit)) !== 0n);
            expect(dangerous, set).toEqual([]);
          }
        });
      }

      // With gVisor these attempts don't reach the host's kernel.
      if (sharesKernel) {
        it("do not reach to mounts, namespaces, devices, or the kernel's switches", async () => {
          await using place = await open();

          // Kernel files are opened for writing but never written: a runtime that fails this test must not harm the
          // machine.
          const { stdout } = await place.run(`
            mkdir -p /tmp/m
            mount -t tmpfs none /tmp/m && echo mounted
            mount -t proc none /tmp/m && echo mounted proc
            umount /airlock && echo unmounted
            unshare -U true && echo new user namespace
            unshare -m true && echo new mount namespace
            mknod /tmp/disk b 254 0 && echo device
            mknod /dev/disk b 254 0 && echo device
            (: >> /proc/sysrq-trigger) && echo sysrq
            (: >> /proc/sys/kernel/core_pattern) && echo core_pattern
            dd if=/proc/kcore of=/dev/null bs=1 count=1 && echo kcore
            find / -name release_agent -not -path '/proc/*' | grep . && echo release_agent
            (: >> /sys/kernel/uevent_helper) && echo uevent_helper
            (: >> /sys/kernel/profiling) && echo sysfs
            hostname "$(hostname)" && echo hostname
            true`);

          expect(stdout).toBe("");
        });
      }

      it("do not include the network when egress is none", async () => {
        await using place = await open();
        const addresses = Object.values(networkInterfaces()).flatMap((list) =>
          (list ?? []).filter(({ family }) => family === "IPv4").map(({ address }) => address),
        );

        const { stdout } = await place.run(
          `for address in ${addresses.join(" ")}; do wget -q -T 2 -O - "http://$address:${hostPort}/"; done
           tail -n +2 /proc/net/route; true`,
        );

        expect(addresses).toContain("127.0.0.1");
        expect(stdout).toBe("");
      });

      it("include a loopback of its own", async () => {
        await using place = await open();

        const { stdout } = await place.run("(echo hello | nc -l -p 4000) & sleep 1; nc 127.0.0.1 4000 < /dev/null");

        expect(stdout).toBe("hello\n");
      });
    });

    describe("limits", () => {
      // gVisor's kernel counts differently.
      if (sharesKernel) {
        it("hold the number of processes", async ({ skip }) => {
          skip(!enforces.pids, "this host can't limit it");
          await using place = await open({ limits: { pids: 40 } });

          const { status, stdout } = await place.run(
            "i=0; while [ $i -lt 200 ]; do sleep 60 & i=$((i+1)); echo $i; done; echo all",
          );

          expect(status).not.toEqual({ kind: "exited", exitCode: 0 });
          expect(stdout).not.toContain("all");
          expect(stdout.split("\n").length).toBeLessThan(45);
        });
      }

      // gVisor's kernel needs more.
      if (sharesKernel)
        it("let a step run with the least that a job may ask for, or say that it is too little", async () => {
          const { cpus, memoryBytes, pids } = leastResources;
          for (const limits of [{ cpus }, { memoryBytes }, { pids }, { cpus, memoryBytes, pids }]) {
            await using place = await open({ limits });

            const end = await place.run("echo $((6 * 7))").then(
              ({ status: { notes: _, ...status }, stdout }) => ({ ...status, stdout }),
              ({ reason, message }: AirlockError) => ({ reason, message }),
            );

            const ran = { kind: "exited", exitCode: 0, stdout: "42\n" };
            const killed = { kind: "killed", signal: "SIGKILL", outOfMemory: true, stdout: "" };
            const refused = {
              reason: "out-of-memory",
              message: expect.stringContaining("memory limit of 6 MiB is too small"),
            };
            expect("memoryBytes" in limits ? [ran, killed, refused] : [ran], JSON.stringify(limits)).toContainEqual(
              end,
            );
          }
        });

      it("size /dev/shm, 64 MiB where nothing is said, never more than the memory", async () => {
        const mebibyte = 2 ** 20;
        const sizes: [Partial<SandboxLimits>, number][] = [
          [{}, 64],
          [{ shmBytes: 100 * mebibyte }, 100],
          [{ memoryBytes: 48 * mebibyte }, 48],
        ];
        for (const [limits, size] of sizes) {
          await using place = await open({ limits });

          const { stdout } = await place.run("df -k /dev/shm | tail -n 1; echo x > /dev/shm/x && cat /dev/shm/x");

          expect(stdout, JSON.stringify(limits)).toMatch(new RegExp(`^\\S+ +${size * 1024} .* /dev/shm\nx\n$`));
        }
      });

      it("count what is in /dev/shm as memory", async ({ skip }) => {
        skip(!enforces.memory, "this host can't limit it");
        await using place = await open({ limits: { memoryBytes: 64 * 2 ** 20, shmBytes: 64 * 2 ** 20 } });

        const { status } = await place.run("exec dd if=/dev/zero of=/dev/shm/x bs=1M");

        expect(status).toMatchObject({ kind: "killed", outOfMemory: true });
      });

      it.each([
        ["cpus", { cpus: 0.001 }, "0.001 cores, the least is 0.01"],
        ["memory", { memoryBytes: 4 * 2 ** 20 }, "4 MiB of memory, the least is 6 MiB"],
        ["disk", { diskBytes: 2 ** 20 }, "1 MiB of disk, the least is 4 MiB"],
        ["processes", { pids: 1 }, "1 processes, the least is 8"],
        ["shared memory", { shmBytes: 0 }, "0 B of shared memory, the least is 4 KiB"],
      ] as const)("below the least that a job may ask for of %s are the job's fault", async (_, limits, words) => {
        await expect(open({ limits })).rejects.toMatchObject({
          reason: "policy",
          message: `the job's limits are too low: ${words}`,
        });
      });

      it("end a fork bomb with its step, and the sandbox stays usable", async ({ skip }) => {
        skip(!enforces.pids, "this host can't limit it");
        await using place = await open({ limits: { pids: 60 } });
        const token = uniqueSeconds();

        // The bomb is bounded, because a runtime that does not stop it must not take the machine down.
        await place.run(
          `bomb() { sleep ${token} & [ $1 -gt 0 ] && { bomb $(($1 - 1)) & bomb $(($1 - 1)); }; }; bomb 9 & sleep 1`,
        );

        expect(await hostProcesses(token)).toEqual([]);
        expect((await place.run("echo usable")).stdout).toBe("usable\n");
      });

      // gVisor's kernel counts differently.
      if (sharesKernel) {
        it("hold the processor time", async ({ skip }) => {
          skip(!enforces.cpu, "this host can't limit it");
          await using place = await open({ limits: { cpus: 0.25 } });

          const { stdout } = await place.run("timeout 2 sh -c 'while :; do :; done'; times");

          const [, minutes, seconds] = /(\d+)m([\d.]+)s \S+\s*$/.exec(stdout.trim()) ?? [];
          const used = Number(minutes) * 60 + Number(seconds);
          expect(used).toBeGreaterThan(0);
          expect(used).toBeLessThan(0.8);
        });
      }
    });

    describe("an image with a user of its own", () => {
      it("may write all over the workspace, and root after it", async () => {
        await using place = await open();
        await place.put("from-host", "host\n");
        const image = subject.images.unprivileged;
        await place.run("mkdir -p a/b; echo root > a/b/from-root; chmod 700 a");

        const own = await place.run(
          "id -u; echo own > own; echo more >> from-host; echo more >> a/b/from-root; mkdir c; rm a/b/from-root; echo $?",
          { image },
        );
        const second = await place.run("cat ../own; echo again > d", { image, workingDirectory: "/data/e" });
        const root = await place.run("id -u; echo more >> own; cat own e/d; stat -c %u .");

        expect(own.stdout + own.stderr).toBe("1000\n0\n");
        expect(second.stdout + second.stderr).toBe("own\n");
        expect(root.stdout).toBe("0\nown\nmore\nagain\n0\n");
      });

      it("is given the workspace and nothing that links in it lead to", async () => {
        await using place = await open();
        await using outsideDirectory = await temporaryDirectory();
        const outside = outsideDirectory.path;
        const victim = join(outside, "victim");
        await writeFile(victim, "host\n");
        const before = await stat(victim);
        await place.run(`ln -s '${victim}' file; ln -s '${outside}' directory; ln -s ../victim relative`);

        const { stdout } = await place.run("echo own > own && cat own", { image: subject.images.unprivileged });

        const after = await stat(victim);
        expect(stdout).toBe("own\n");
        expect([after.uid, after.gid, after.mode]).toEqual([before.uid, before.gid, before.mode]);
      });
    });

    describe("what an image contains and declares", () => {
      itTakesImages(() => ({ provide: (image, name) => subject.provide(image, name), open }));
    });

    describe("abortion", () => {
      it("ends a step that listens to SIGTERM at once, with the reason", async () => {
        await using place = await open();
        const reason = new Error("canceled by the user");
        const stop = new AbortController();
        const output: string[] = [];

        const running = place.start("trap 'echo tidying; exit 0' TERM; echo ready; while :; do sleep 0.2; done", {
          signal: stop.signal,
          output: (stream, bytes) => {
            // Shells report on stderr which of their commands was killed by a signal.
            if (stream === "stdout") output.push(bytes.toString());
            if (output.join("").includes("ready")) stop.abort(reason);
          },
        });
        const started = Date.now();

        await expect(running).rejects.toBe(reason);
        expect(output.join("")).toBe("ready\ntidying\n");
        expect(Date.now() - started).toBeLessThan(5000);
      });

      it("kills a step that ignores SIGTERM after the grace period, with all its processes", async () => {
        await using place = await open();
        const token = uniqueSeconds();
        const reason = new Error("too slow");
        const stop = new AbortController();

        const running = place.start(
          `trap '' TERM; (trap '' TERM; sleep ${token}) & setsid sh -c "trap '' TERM; sleep ${token}; true" & echo ready
           while :; do sleep ${token}; done`,
          { signal: stop.signal, output: () => stop.abort(reason) },
        );
        const started = Date.now();

        await expect(running).rejects.toBe(reason);
        expect(Date.now() - started).toBeLessThan(11_000);
        expect(await hostProcesses(token)).toEqual([]);
      });

      it("does not run the rest of a script whose command it ended", async () => {
        await using place = await open();
        const stop = new AbortController();
        const token = uniqueSeconds();

        const running = place.start(`echo ready; sleep ${token}; echo went on > /data/after`, {
          signal: stop.signal,
          output: () => stop.abort(new Error("stop")),
        });

        await expect(running).rejects.toThrow("stop");
        expect(await place.list()).toEqual([]);
      });

      it("starts nothing when it came first", async () => {
        await using place = await open();
        const reason = new Error("not at all");

        await expect(place.start("touch /data/ran", { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
        expect(await place.list()).toEqual([]);
      });
    });

    describe("images", () => {
      const prepare = (sandbox: Sandbox, image: string) =>
        sandbox.prepareImage(image, { signal: never, progress: () => {} });

      it("that are unknown, malformed or without /bin/sh are the job's fault", async () => {
        await using place = await open();

        for (const image of [subject.images.unknown, subject.images.noShell, "no such IMAGE", "", "x@sha256:12"]) {
          const failure = await prepare(place.sandbox, image).then(
            () => `${image} was accepted`,
            (error: AirlockError) => error.reason,
          );
          expect(failure, image).toBe("image-invalid");
        }
      });

      // With gVisor the host's tools may use calls that its kernel does not have.
      if (sharesKernel) {
        it("host: shows the host's tools and nothing else of it", async () => {
          await using place = await open();
          await place.put("note", "x");
          await prepare(place.sandbox, "host");

          const tools = await place.run("git --version && sh -c 'echo shell'", { image: "host" });
          const hidden = await place.run(
            `ls -A /home /root /tmp; for path in /etc/shadow /var/log /var/lib/dpkg '${witness}'; do
               [ -e "$path" ] && echo "$path"
             done; touch /usr/x 2>/dev/null && echo written; ls /data`,
            { image: "host" },
          );

          expect(tools.status).toEqual({ kind: "exited", exitCode: 0 });
          expect(tools.stdout).toMatch(/^git version .*\nshell\n$/);
          expect(hidden.stdout.replace(/^\/(?:home|root|tmp):\n|^\n/gm, "")).toBe("note\n");
        });
      }

      it("host: is refused where it is not allowed", async () => {
        const strict = await create({ allowHostImage: false });
        try {
          await using place = await openSubject(strict);

          await expect(prepare(place.sandbox, "host")).rejects.toMatchObject({ reason: "policy" });
          await expect(place.start("true", { image: "host" })).rejects.toMatchObject({ reason: "policy" });
        } finally {
          await strict.dispose();
        }
      });
    });

    describeEnvironment(open);
    describeWorkspace(open, { keepsPipes: sharesKernel });
    describeEndings(open);

    // With gVisor the host does not see the steps' processes.
    if (sharesKernel) {
      describe("the end of a sandbox", () => {
        it("leaves nothing, twice over", async () => {
          const token = uniqueSeconds();
          const place = await open();
          const running = place.start(`sleep ${token}`);
          running.catch(() => {});
          await until(async () => (await hostProcesses(token)).length > 0);

          await place.sandbox[Symbol.asyncDispose]();
          await place.sandbox[Symbol.asyncDispose]();

          await expect(running).rejects.toThrow();
          expect(await hostProcesses(token)).toEqual([]);
          expect(await subject.runtime.collect({ owner: subject.owner, keep: new Set(), signal: never })).toMatchObject(
            {
              sandboxes: 0,
            },
          );
          await place[Symbol.asyncDispose]();
        });

        it("is made up for by the collection of what was abandoned, and of nothing else", async () => {
          const [abandonedToken, keptToken] = [uniqueSeconds(), uniqueSeconds()];
          await using abandoned = await open();
          await using kept = await open();
          const stop = new AbortController();
          const lost = abandoned.start(`sleep ${abandonedToken}`);
          lost.catch(() => {});
          const running = kept.start(`sleep ${keptToken}`, { signal: stop.signal });
          running.catch(() => {});
          for (const token of [abandonedToken, keptToken])
            await until(async () => (await hostProcesses(token)).length > 0);

          const foreign = await subject.runtime.collect({ owner: "somebody-else", keep: new Set(), signal: never });
          const own = await subject.runtime.collect({
            owner: subject.owner,
            keep: new Set([kept.sandbox.id]),
            signal: never,
          });

          expect(foreign.sandboxes).toBe(0);
          expect(own.sandboxes).toBe(1);
          expect(await hostProcesses(abandonedToken)).toEqual([]);
          expect(await hostProcesses(keptToken)).not.toEqual([]);
          stop.abort(new Error("done"));
          await expect(running).rejects.toThrow("done");
          await Promise.allSettled([lost]);
        });
      });
    }
  });
}

const never = new AbortController().signal;
const collectGarbage = garbageCollector();

/** Bits of capabilities(7) with which a process can leave a container. */
const dangerousCapabilities = {
  DAC_READ_SEARCH: 2n,
  NET_ADMIN: 12n,
  NET_RAW: 13n,
  SYS_MODULE: 16n,
  SYS_RAWIO: 17n,
  SYS_PTRACE: 19n,
  SYS_ADMIN: 21n,
  SYS_BOOT: 22n,
  SYS_RESOURCE: 24n,
  SYS_TIME: 25n,
  MKNOD: 27n,
  SYSLOG: 34n,
  PERFMON: 38n,
  BPF: 39n,
};

function openSubject(
  { runtime, owner, images }: RuntimeUnderTest,
  options: Partial<WorkplaceOptions> = {},
): Promise<Workplace> {
  return openWorkplace(runtime, { owner, image: images.shell, announcesNextStep: true, ...options });
}

/** A sleep argument that no other process on this machine uses. */
function uniqueSeconds(): string {
  return `${10_000 + randomBytes(4).readUInt32LE()}`;
}

/**
 * Command lines that contain a text, of all processes on this machine, including those in containers. Zombies have
 * none.
 */
async function hostProcesses(text: string): Promise<readonly string[]> {
  const found: string[] = [];
  for (const pid of await readdir("/proc")) {
    if (!/^\d+$/.test(pid)) continue;
    // The process may have ended since readdir.
    const commandLine = await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "");
    const words = commandLine.replaceAll("\0", " ");
    if (words.includes(text)) found.push(words);
  }
  return found;
}

async function until(condition: () => Promise<boolean>): Promise<void> {
  for (const deadline = Date.now() + 20_000; Date.now() < deadline; ) {
    if (await condition()) return;
    await delay(20);
  }
  throw new Error("it did not happen within 20 s");
}

/** Memory that is in use: garbage does not count, of which a busy process has any amount. */
function usedMemory(): number {
  collectGarbage();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

function garbageCollector(): () => void {
  setFlagsFromString("--expose-gc");
  return runInNewContext("gc") as () => void;
}
