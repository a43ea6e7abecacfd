import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { hiddenPaths } from "../../isolation/hidden-paths.ts";
import type { GuestAgent } from "./guest-agent.ts";
import type { GuestStep } from "./step-spec.ts";
import { bootGuest, runCollected, shell } from "./testing/boot-guest.ts";
import { type GuestParts, makeGuestParts } from "./testing/namespace-guest.ts";

const signal = AbortSignal.timeout(55_000);
const mebibyte = 2 ** 20;
const etc = {
  hosts: "127.0.0.1\tlocalhost\n127.0.1.1\tsandbox\n",
  hostname: "sandbox\n",
  "resolv.conf": "nameserver 10.0.0.1\n",
};

/** What a step sees around it. The same as in the `oci` runtime. */
describe.skipIf(process.geteuid?.() !== 0)("the surroundings of a step in the guest", () => {
  let parts: GuestParts;
  beforeAll(async () => {
    parts = await makeGuestParts();
  });
  afterAll(async () => await parts?.[Symbol.asyncDispose]());

  const boot = () => bootGuest(parts, signal);
  const run = (agent: GuestAgent, what: GuestStep) => runCollected(agent, what, signal);
  const mounts = async (agent: GuestAgent, what: Partial<GuestStep>) => {
    const { stdout } = await run(agent, shell("cat /proc/self/mounts", what));
    return (path: string) =>
      stdout
        .split("\n")
        .map((line) => line.split(" "))
        .filter(([, point]) => point === path)
        .map(([, , type, options]) => `${type} ${options}`)
        .join();
  };

  it("have bounded memory file systems with bounded numbers of files", async () => {
    await using booted = await boot();
    const mounted = await mounts(booted.agent, { readOnlyRoot: true, memoryBytes: 0, shmBytes: 2 * mebibyte });
    expect(mounted("/dev")).toMatch(/^tmpfs rw,nosuid,size=65536k,nr_inodes=8192,mode=755/);
    expect(mounted("/dev/shm")).toMatch(/^tmpfs rw,nosuid,nodev,noexec,relatime,size=2048k,nr_inodes=8192/);
    expect(mounted("/dev/mqueue")).toMatch(/^mqueue rw,nosuid,nodev,noexec/);
    expect(mounted("/dev/pts")).toMatch(/^devpts rw,nosuid,noexec,relatime,gid=5,mode=620,ptmxmode=666/);
    for (const path of ["/tmp", "/run"]) expect(mounted(path)).toMatch(/^tmpfs rw,nosuid,nodev,.*nr_inodes=1048576/);
  });

  it("have no setuid programs in the root and in the workspace", async () => {
    await using booted = await boot();
    const mounted = await mounts(booted.agent, {});
    for (const path of ["/", "/data"]) expect(mounted(path)).toMatch(/ rw,nosuid,nodev,/);
    const relaxed = await mounts(booted.agent, { noNewPrivileges: false });
    expect(relaxed("/")).toMatch(/ rw,nodev,/);
  });

  it("have message queues of their own", async () => {
    await using booted = await boot();
    const script = ": > /dev/mqueue/mine && ls /dev/mqueue";
    for (const uid of [0, 1000]) {
      const result = await run(booted.agent, shell(script, { uid, gid: uid }));
      expect(result).toMatchObject({ stdout: "mine\n", stderr: "" });
    }
  });

  it("hide the paths that the host names, and only those", async () => {
    await using booted = await boot();
    const { maskedPaths, readonlyPaths } = hiddenPaths;
    const script = `for p in ${maskedPaths.join(" ")}; do [ -d $p ] && ls -A $p; [ -f $p ] && echo file $p; done
      for p in ${readonlyPaths.join(" ")}; do [ ! -e $p ] || grep -q " $p [a-z]* ro," /proc/self/mounts || echo open $p; done`;
    const hidden = await run(booted.agent, shell(script, { maskedPaths, readOnlyPaths: readonlyPaths }));
    expect(hidden).toMatchObject({ stdout: "", stderr: "" });
    const shown = await run(booted.agent, shell(script, { maskedPaths: [], readOnlyPaths: [], readOnlySys: false }));
    expect(shown.stdout).toContain("file /proc/timer_list\n");
    expect(shown.stdout).toContain("open /proc/sys\n");
  });

  it("refuse paths to hide that are not in the kernel's file systems", async () => {
    await using booted = await boot();
    for (const path of ["/etc/passwd", "proc/keys", "/proc/../data", "/proc", "/sys/"]) {
      await expect(run(booted.agent, shell("true", { maskedPaths: [path] }))).rejects.toThrow("a path to hide");
      await expect(run(booted.agent, shell("true", { readOnlyPaths: [path] }))).rejects.toThrow("a path to protect");
    }
  });

  it("let programs listen on low ports and send pings", async () => {
    await using booted = await boot();
    const names = "ip_unprivileged_port_start ping_group_range";
    const { stdout } = await run(booted.agent, shell(`cd /proc/sys/net/ipv4; cat ${names} | tr '\\t' ' '`));
    expect(stdout).toBe("0\n0 2147483647\n");
  });

  it("have the umask, the score for lack of memory and the cgroup namespace of the oci runtime", async () => {
    await using booted = await boot();
    const { stdout } = await run(booted.agent, shell("umask; cat /proc/self/oom_score_adj /proc/self/cgroup"));
    expect(stdout).toMatch(/^0022\n500\n/);
    for (const line of stdout.trim().split("\n").slice(2)) expect(line).toMatch(/:\/$/);
  });

  it("have the host's files in /etc, with root as their owner", async () => {
    await using booted = await boot();
    const script = "cat /etc/hosts /etc/hostname /etc/resolv.conf; stat -c '%a %u:%g' /etc /etc/hosts";
    const { stdout } = await run(booted.agent, shell(script, { etc, uid: 1000, gid: 1000 }));
    expect(stdout).toBe(`${Object.values(etc).join("")}755 0:0\n644 0:0\n`);
  });

  it("have the host's files in /etc also in place of links, and nothing is written through these", async () => {
    await using booted = await boot();
    const { agent } = booted;
    await agent.mountImage(1, "erofs", signal);
    await agent.mountImage(2, "erofs", signal);
    for (const image of [1, 2]) {
      for (const upperBytes of [16 * mebibyte, null]) {
        const script =
          "cat /etc/hosts /etc/hostname /etc/resolv.conf; for f in /etc /etc/*; do [ -L $f ] && echo $f; done";
        const { stdout } = await run(agent, shell(script, { image, etc, upperBytes }));
        expect(stdout).toBe(Object.values(etc).join(""));
        expect(await agent.list(Buffer.alloc(0), { entries: 9, bytes: 1e6 }, signal)).toHaveLength(0);
      }
    }
    // Nothing was written into the image either.
    const { stdout } = await run(agent, shell("ls -A /etc; readlink /etc/hosts", { image: 1, etc: {} }));
    expect(stdout).toBe("hostname\nhosts\nresolv.conf\n/data/outside\n");
  });

  it("have the directories of the image's volumes", async () => {
    await using booted = await boot();
    const directories = [
      { path: "var", mode: 0o711, uid: 0, gid: 0 },
      { path: "var/cache", mode: 0o1777, uid: 7, gid: 8 },
      { path: "etc", mode: 0o700, uid: 7, gid: 7 },
    ].map(({ path, ...rest }) => ({ path: Buffer.from(path), ...rest }));
    const { stdout } = await run(
      booted.agent,
      shell("stat -c '%a %u:%g' /var /var/cache /etc; cat /etc/hostname", { directories, etc }),
    );
    expect(stdout).toBe("711 0:0\n1777 7:8\n755 0:0\nsandbox\n");
    for (const path of ["../x", "/x", "", "a/../../b"]) {
      const outside = [{ path: Buffer.from(path), mode: 0o755, uid: 0, gid: 0 }];
      await expect(run(booted.agent, shell("true", { directories: outside }))).rejects.toThrow("a directory to create");
    }
  });

  it("have a missing working directory, which belongs to the step's user", async () => {
    await using booted = await boot();
    const script = "pwd; stat -c '%a %u:%g' . ..";
    const made = await run(booted.agent, shell(`chmod 777 /data; ${script}`, { workingDirectory: "/data/a/b" }));
    expect(made.stdout).toBe("/data/a/b\n755 0:0\n755 0:0\n");
    const user = { uid: 1000, gid: 1001, workingDirectory: "/data/c/d" };
    expect((await run(booted.agent, shell(script, user))).stdout).toBe("/data/c/d\n755 1000:1001\n755 1000:1001\n");
  });

  it("end a step whose user can't enter its working directory with exit code 126", async () => {
    await using booted = await boot();
    const user = { uid: 1000, gid: 1001, workingDirectory: "/bin/a" };
    expect(await run(booted.agent, shell("echo ran", user))).toEqual({
      status: { kind: "exited", exitCode: 126 },
      stdout: "",
      stderr: "cannot enter the working directory /bin/a: Permission denied\n",
    });
  });
});
