import { execFile } from "node:child_process";
import { readdir, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { promisify } from "node:util";
import { busyboxImage, describeWithEngines, dockerArchive, openWorkplace, temporaryDirectory } from "@airlock/test-kit";
import { describe, expect, it } from "vitest";
import type { SandboxLimits } from "../contract/index.ts";
import type { Hardening } from "../isolation/hardening.ts";
import { hostPlace } from "../testing/host-place.ts";
import { createOciRuntime } from "./index.ts";

const never = new AbortController().signal;
const MiB = 2 ** 20;
const isRoot = process.geteuid?.() === 0;

describeWithEngines(["oci"], "the limits of a sandbox of the oci runtime", () => {
  describe.skipIf(!isRoot)("as root", () => {
    it("are reported when a step hits them and goes on", async () => {
      await using place = await openPlace({ limits: { pids: 20, memoryBytes: 48 * MiB, cpus: 0.2 } });

      const forks = await place.run("i=0; while [ $i -lt 40 ]; do sleep 5 & i=$((i+1)); done; exit 0");
      const memory = await place.run("sh -c 'tail /dev/zero'; echo went on");
      // So little that the limit throttles the step even on a busy machine.
      await using slow = await openPlace({ limits: { cpus: 0.03 } });
      const cpu = await slow.run("timeout 4 sh -c 'while :; do :; done'; true");
      const none = await place.run("true");

      // The other steps may be throttled, too.
      expect(forks.status.notes).toContain(
        "the step was refused new processes: the job's limit is 20 at a time (resources.pids)",
      );
      expect(memory.stdout).toBe("went on\n");
      expect(memory.status.notes?.join("\n")).toMatch(/^a process of the step was killed: .* more memory than its /m);
      expect(cpu.status.notes).toEqual([
        expect.stringMatching(/^the step waited \d+\.\d s for the processor: the job's limit is 0.03 cores/),
      ]);
      expect(none.status).toEqual({ kind: "exited", exitCode: 0 });
    });

    it.each([
      ["in the workspace", "dd if=/dev/zero of=/data/big bs=1M count=400 2>/dev/null; sleep 100"],
      ["in the root file system", "dd if=/dev/zero of=/big bs=1M count=400 2>/dev/null; sleep 100"],
      [
        "in a deleted file that is still open",
        "exec 5>/gone; rm /gone; dd if=/dev/zero bs=1M count=400 >&5 2>/dev/null; sleep 100",
      ],
      ["with empty files", "mkdir /n; cd /n; i=0; while :; do : > $i; i=$((i+1)); done"],
    ])("end a step that fills the disk %s", async (_, script) => {
      await using place = await openPlace({ limits: { diskBytes: 40 * MiB } });
      const startedAt = Date.now();

      await expect(place.run(script)).rejects.toMatchObject({ code: "disk-full", reason: "step-failed" });

      expect(Date.now() - startedAt).toBeLessThan(30_000);
    });

    it("do not end a step that stays below the disk limit", async () => {
      await using place = await openPlace({ limits: { diskBytes: 40 * MiB } });

      const { status } = await place.run("dd if=/dev/zero of=/data/big bs=1M count=20 2>/dev/null; sleep 1");

      expect(status).toEqual({ kind: "exited", exitCode: 0 });
    });

    it("cover the workspace and the root file system together on a bounded file system", async () => {
      await using place = await openPlace({ boundedBytes: 48 * MiB });

      const { stdout, stderr } = await place.run(`
        dd if=/dev/zero of=/data/a bs=1M count=30 2>/dev/null && echo first fits
        dd if=/dev/zero of=/b bs=1M count=30 2>/dev/null || echo second does not
        dd if=/dev/zero of=/data/c bs=1M count=1 || echo nothing does`);

      expect(stderr).toContain("No space left");
      expect(stdout).toBe("first fits\nsecond does not\nnothing does\n");
      // The step's files outside of the workspace are removed shortly after it ends.
      while ((await readdir(place.layersDir)).length > 0) await delay(10);
      await tool("sh", "-c", 'cat /dev/zero > "$0" 2>/dev/null || true', join(place.workspaceDir, "rest"));
      await expect(place.run("true")).rejects.toMatchObject({ code: "disk-full", reason: "step-failed" });
    });

    it("bound in-memory file systems, both in bytes and in number of files", async () => {
      await using place = await openPlace({ limits: { memoryBytes: 200 * MiB } });

      const { stdout } = await place.run(`
        for d in /dev/shm /dev; do
          dd if=/dev/zero of=$d/big bs=1M count=100 2>/dev/null; stat -c %s $d/big; rm $d/big
          i=0; while true 2>/dev/null > $d/n$i && [ $i -lt 20000 ]; do i=$((i+1)); done; [ $i -lt 9000 ] && echo bounded
        done`);

      expect(stdout).toBe(`${64 * MiB}\nbounded\n${64 * MiB}\nbounded\n`);
    });
  });
});

describeWithEngines(["oci"], "users of a sandbox of the oci runtime", () => {
  describe.skipIf(!isRoot)("as root", () => {
    it("are unprivileged users of the host, from a configurable range", async () => {
      await using place = await openPlace({ ids: { base: 300_000, size: 65_536 } });

      const { stdout } = await place.run(
        "cat /proc/self/uid_map /proc/self/gid_map | tr -s ' '; touch /data/mine; id -u",
      );

      expect((await place.runtime.describe({ signal: never })).checkoutOwner).toEqual({ uid: 300_000, gid: 300_000 });
      expect(stdout).toBe(" 0 300000 65536\n 0 300000 65536\n0\n");
      expect(await stat(join(place.workspaceDir, "mine"))).toMatchObject({ uid: 300_000, gid: 300_000 });
    });

    it("see the image's files with their original owners, and may install packages as root", async () => {
      await using place = await openPlace({});

      const { stdout, stderr } = await place.run(`
        stat -c '%u:%g %a' / /etc/passwd /tmp /root
        touch /bin/new && chown 1234:1234 /bin/new && chmod 4755 /bin/new && stat -c '%u:%g %a' /bin/new
        stat -c %G /dev/pts >/dev/null && ls -d /dev/mqueue /dev/shm /sys/class/net`);

      expect(stderr).toBe("");
      expect(stdout).toBe(
        "0:0 755\n0:0 644\n0:0 1777\n0:0 700\n1234:1234 4755\n/dev/mqueue\n/dev/shm\n/sys/class/net\n",
      );
    });

    it("have orphaned processes reaped, and a script that is not process 1", async () => {
      await using place = await openPlace({});

      const { stdout } = await place.run(
        `echo $$ > /tmp/pid; for i in 1 2 3; do (sleep 0.1 &) ; done; sleep 1
         grep -l '^State:.Z' /proc/[0-9]*/status; [ "$(cat /tmp/pid)" != 1 ] && echo not 1`,
      );

      expect(stdout).toBe("not 1\n");
    });

    it("are the host's users if the administrator turns off user namespaces, which the description reports", async () => {
      await using place = await openPlace({ hardening: { userNamespace: false } });

      const { stdout } = await place.run("tr -s ' ' < /proc/self/uid_map; touch /data/mine");

      expect((await place.runtime.describe({ signal: never })).checkoutOwner).toBeNull();
      expect(stdout).toBe(" 0 0 4294967295\n");
      expect(await stat(join(place.workspaceDir, "mine"))).toMatchObject({ uid: 0 });
      expect((await place.runtime.describe({ signal: never })).notes.join()).toContain("no user namespace");
    });

    it("lose each other defence only through its own setting", async () => {
      const probe = `grep -E '^(NoNewPrivs|Seccomp):' /proc/self/status | tr -d '\\t'
        grep CapBnd /proc/self/status | tr -d '\\t'
        head -c 1 /proc/timer_list 2>/dev/null | wc -c
        touch /new 2>/dev/null && echo writable; touch /tmp/new /run/new && echo tmp`;
      const seen = async (hardening: Partial<Hardening>) => {
        await using place = await openPlace({ hardening });
        const { notes } = await place.runtime.describe({ signal: never });
        expect(notes.join().includes("system call")).toBe(hardening.seccomp === false);
        return (await place.run(`mkdir -p /run 2>/dev/null; ${probe}`)).stdout.trim().split("\n");
      };
      const strict = ["NoNewPrivs:1", "Seccomp:2", "CapBnd:00000000800405fb", "0", "writable", "tmp"];

      expect(await seen({})).toEqual(strict);
      expect(await seen({ noNewPrivileges: false })).toEqual(strict.with(0, "NoNewPrivs:0"));
      expect(await seen({ seccomp: false })).toEqual(strict.with(1, "Seccomp:0"));
      expect(await seen({ capabilities: ["CHOWN"] })).toEqual(strict.with(2, "CapBnd:0000000000000001"));
      expect(await seen({ maskedPaths: false, userNamespace: false })).toEqual(strict.with(3, "1"));
      expect(await seen({ readOnlyRoot: true })).toEqual(strict.toSpliced(4, 1));
    });
  });
});

interface PlaceOptions {
  readonly limits?: Partial<SandboxLimits>;
  /** The workspace has a file system of this size, which also holds the layers. */
  readonly boundedBytes?: number;
  readonly hardening?: Partial<Hardening>;
  readonly ids?: { readonly base: number; readonly size: number };
}

async function openPlace({ limits, boundedBytes, hardening, ids }: PlaceOptions) {
  await using made = new AsyncDisposableStack();
  const { path } = made.use(await temporaryDirectory("airlock-limits-"));
  const runtime = await createOciRuntime({
    stateDir: join(path, "state"),
    allowHostImage: false,
    workspaces: { dir: join(path, "workspaces"), mounts: boundedBytes === undefined ? "never" : "auto" },
    ...(hardening ? { hardening } : {}),
    ...(ids ? { ids } : {}),
  });
  made.defer(() => runtime.close());
  await writeFile(join(path, "image.tar"), await dockerArchive(await busyboxImage(), "fixture:1"));
  await runtime.loadImages(join(path, "image.tar"), { signal: never });
  const owner = "limits-test";
  const place = made.use(
    await openWorkplace(runtime, {
      owner,
      image: "fixture:1",
      limits: { pids: 100, ...(boundedBytes === undefined ? {} : { diskBytes: boundedBytes }), ...limits },
    }),
  );
  const owned = made.move();
  const { workspaceDir } = hostPlace(join(path, "workspaces"), { owner, id: place.id });
  return {
    ...place,
    runtime,
    workspaceDir,
    layersDir: join(workspaceDir, "..", "layers"),
    dispose: () => place[Symbol.asyncDispose](),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

async function tool(file: string, ...args: readonly string[]): Promise<void> {
  await promisify(execFile)(file, [...args]);
}
