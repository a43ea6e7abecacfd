import { spawn } from "node:child_process";
import { once } from "node:events";
import { stat } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { type Attack, notInGuests, type Weakened } from "../attack.ts";
import { forbiddenCommands, perlScript } from "../scripts.ts";

const unmasked: Weakened = { hardening: { maskedPaths: false, userNamespace: false } };

/** Only opens files and never writes or creates them: the tests must not harm the machine when a defence is off. */
const opensForWriting = (...paths: readonly string[]) =>
  perlScript(`
for my $path (${globs(paths)}) {
  if (sysopen(my $file, $path, 1)) { print "BREACH $path opens for writing\\n"; exit; }
}
print "HELD nothing opens\\n";`);

const reads = (...paths: readonly string[]) =>
  perlScript(`
for my $path (${globs(paths)}) {
  if (open(my $file, "<", $path)) {
    my $read = read($file, my $bytes, 64);
    if ($read) { print "BREACH $path gives $read bytes\\n"; exit; }
  }
}
print "HELD nothing opens\\n";`);

function globs(paths: readonly string[]): string {
  return paths.map((path) => `glob("${path}")`).join(", ");
}

/** For defences that are always part of a sandbox. */
const noSetting = (what: string): Weakened => ({ cannotBeShown: `no setting ${what}` });

const masked: readonly (readonly [id: string, does: string, script: string, weakened: Weakened])[] = [
  [
    "sysrq",
    "opens the sysrq trigger, which can reboot the host",
    opensForWriting("/proc/sysrq-trigger"),
    { cannotBeShown: "some kernels have no such trigger" },
  ],
  [
    "core-pattern",
    "opens the setting that names the program to run after a crash",
    opensForWriting("/proc/sys/kernel/core_pattern"),
    unmasked,
  ],
  [
    "sysctl",
    "opens kernel settings for writing",
    opensForWriting("/proc/sys/kernel/panic", "/proc/sys/vm/overcommit_memory"),
    unmasked,
  ],
  [
    "kernel-memory",
    "reads the kernel's memory",
    reads("/proc/kcore", "/dev/mem", "/dev/kmem", "/dev/port"),
    { cannotBeShown: "some kernels are built without any of these files" },
  ],
  ["kernel-keys", "reads the list of keys in the kernel's keyrings", reads("/proc/keys"), unmasked],
  ["interrupts", "reads the host's interrupt counters", reads("/proc/interrupts"), unmasked],
  [
    "firmware",
    "reads the host's firmware tables",
    reads("/sys/firmware/acpi/tables/*", "/sys/firmware/dmi/tables/*"),
    unmasked,
  ],
];

const standing: readonly (readonly [
  id: string,
  does: string,
  defence: string,
  script: string,
  weakened: Attack["weakened"],
])[] = [
  [
    "cgroup-release-agent",
    "opens the setting that names the program to run when a cgroup is empty",
    "the cgroup file system is not writable",
    opensForWriting(
      "/sys/fs/cgroup/release_agent",
      "/sys/fs/cgroup/*/release_agent",
      "/sys/fs/cgroup/*/*/release_agent",
    ),
    noSetting("makes cgroups writable"),
  ],
  [
    "cgroup-limits",
    "raises its own limits",
    "the cgroup file system is not writable",
    opensForWriting(
      "/sys/fs/cgroup/memory.max",
      "/sys/fs/cgroup/pids.max",
      "/sys/fs/cgroup/memory/memory.limit_in_bytes",
      "/sys/fs/cgroup/pids/pids.max",
    ),
    noSetting("makes cgroups writable"),
  ],
  [
    "cgroup-mount",
    "mounts the cgroup file system itself",
    "system call filter; no capability SYS_ADMIN",
    forbiddenCommands(
      "mkdir /tmp/cgroup && { mount -t cgroup -o pids none /tmp/cgroup || mount -t cgroup2 none /tmp/cgroup; }",
    ),
    { hardening: { seccomp: false, capabilities: ["SYS_ADMIN"], userNamespace: false } },
  ],
  [
    "uevent-helper",
    "opens the setting that names the program to run for new devices",
    "/sys is mounted read-only",
    opensForWriting("/sys/kernel/uevent_helper", "/sys/kernel/mm/transparent_hugepage/enabled"),
    noSetting("mounts /sys writable"),
  ],
  [
    "script-overwrite",
    "changes the scripts of later steps",
    "scripts are mounted read-only, outside the workspace",
    forbiddenCommands("echo pwned >> /airlock/attack"),
    noSetting("mounts them writable"),
  ],
  [
    "script-remount",
    "remounts the scripts writable",
    "system call filter; no capability SYS_ADMIN",
    forbiddenCommands("mount -o remount,bind,rw /airlock && echo >> /airlock/attack"),
    notInGuests(
      { hardening: { seccomp: false, capabilities: ["SYS_ADMIN", "DAC_OVERRIDE"], userNamespace: false } },
      "the scripts have a read-only file system of their own in the guest",
    ),
  ],
  [
    "engine-socket",
    "looks for the socket of a container engine",
    "no paths of the host are mounted except the workspace and the scripts",
    forbiddenCommands(
      "ls -d /var/run/docker.sock /run/docker.sock /run/containerd/* /run/crio/* /run/podman/* 2>/dev/null | grep .",
    ),
    noSetting("mounts the socket"),
  ],
  [
    "host-devices",
    "opens the host's disks and its console",
    "only the standard devices exist",
    reads("/dev/vd*", "/dev/sd*", "/dev/nvme*", "/dev/kmsg", "/dev/loop*", "/dev/kvm", "/dev/fuse", "/dev/net/tun"),
    noSetting("adds devices"),
  ],
  [
    "host-root",
    "reads the host's files through the root or working directory of its init",
    "the sandbox has its own root file system",
    forbiddenCommands(
      "ls -d /proc/1/root/var/lib/docker /proc/1/root/lib/systemd /proc/1/cwd/boot/vmlinuz* 2>/dev/null | grep .",
    ),
    noSetting("shows a step the host's files"),
  ],
  [
    "chroot-escape",
    "escapes from its root directory with a second chroot",
    "the old root is unmounted, not only hidden",
    perlScript(`
mkdir "/tmp/inner"; opendir(my $out, "/") or die; chroot("/tmp/inner") or do { print "HELD $!\\n"; exit };
chdir($out); chdir("..") for 1..64; chroot(".");
print -e "/var/lib/dpkg/status" ? "BREACH the host's files\\n" : "HELD the root is where it was\\n";`),
    noSetting("leaves the old root mounted"),
  ],
  [
    "host-name",
    "changes the host's name",
    "system call filter; the sandbox has its own UTS namespace",
    forbiddenCommands("hostname pwned"),
    { hardening: { seccomp: false, capabilities: ["SYS_ADMIN"] } },
  ],
];

export const hostSurfaceAttacks: readonly Attack[] = [
  ...masked.map(([id, does, script, weakened]) => ({
    id,
    does,
    script,
    weakened,
    defence: "masked and read-only paths",
  })),
  ...standing.map(([id, does, defence, script, weakened]) => ({ id, does, defence, script, weakened })),
  {
    id: "setuid-program",
    does: "that runs as an ordinary user becomes root by a setuid program of its image",
    defence: "the kernel's `no_new_privs` flag",
    image: "unprivileged",
    script: `id=$(/bin/setuid-id -u); if [ "$id" = 0 ]; then echo BREACH it is root; else echo "HELD it is $id"; fi\n`,
    weakened: { hardening: { noNewPrivileges: false } },
  },
  {
    id: "root-on-host",
    does: "creates files that belong to the host's root user",
    defence: "the sandbox has its own user namespace",
    script: "touch /data/mine && echo made\n",
    async inspect({ workspaceDir }) {
      const { uid } = await stat(join(workspaceDir ?? "", "mine"));
      return uid === 0 ? "the file belongs to root of the host" : null;
    },
    expects: "made",
    runtimes: ["oci"],
    weakened: { hardening: { userNamespace: false } },
  },
  {
    id: "abstract-socket",
    does: "connects to a program on the host over an abstract Unix socket",
    defence: "the sandbox has its own network namespace, even without any network",
    async prepare() {
      const name = `airlock-attack-${process.pid}`;
      const server = createServer((socket) => socket.end("hello"));
      await new Promise<void>((resolve, reject) => server.once("error", reject).listen(`\0${name}`, resolve));
      return {
        env: { SOCKET: name },
        [Symbol.asyncDispose]: () => new Promise<void>((resolve) => server.close(() => resolve())),
      };
    },
    script: perlScript(`
socket(my $socket, 1, 1, 0) or die; my $address = pack("Sa*", 1, "\\0" . $ENV{SOCKET});
print connect($socket, $address) ? "BREACH it answers\\n" : "HELD $!\\n";`),
    weakened: noSetting("shares the host's network"),
  },
  {
    id: "host-processes",
    does: "reads the memory and environment of other processes on the host",
    defence: "the sandbox has its own PID namespace",
    prepare: async () => {
      const child = spawn("sleep", ["60"], { env: { AIRLOCK_ATTACK_MARK: "host" }, stdio: "ignore" });
      await once(child, "spawn");
      return {
        env: {},
        async [Symbol.asyncDispose]() {
          child.kill();
          if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
        },
      };
    },
    script: perlScript(`
my @others = grep { open(my $f, "<", "/proc/$_/environ") && do { local $/; <$f> } =~ /AIRLOCK_ATTACK_MARK=host/ }
  map { m{(\\d+)} } glob("/proc/[0-9]*");
print @others ? "BREACH @others\\n" : "HELD none of them is there\\n";`),
    weakened: noSetting("shares the host's processes"),
  },
];
