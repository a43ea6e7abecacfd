import { readdir, readFile } from "node:fs/promises";
import type { Attack } from "../attack.ts";
import { perlScript } from "../scripts.ts";

const MiB = 2 ** 20;

/** Finds processes of a step after its end. They carry a mark on their command line and are searched from the host. */
async function processesWith(mark: string): Promise<string | null> {
  const found: string[] = [];
  for (const pid of (await readdir("/proc")).filter((name) => /^\d+$/.test(name))) {
    const commandLine = await readFile(`/proc/${pid}/cmdline`, "latin1").catch(() => "");
    if (commandLine.split("\0").includes(mark)) found.push(pid);
  }
  return found.length > 0 ? `processes are left: ${found.join(", ")}` : null;
}

/** Numbers of seconds that contain this process's id, so that no process of another suite matches. */
const marks = {
  daemon: `86413.${process.pid}`,
  stubborn: `86417.${process.pid}`,
  zombies: `86419.${process.pid}`,
};

/** Writes 640 MiB. Without pauses it may end before a limit that is checked periodically ends it. */
function fillDisk(directory: string, { pauseSeconds }: { readonly pauseSeconds: number }): string {
  return `mkdir -p ${directory}; i=0; while [ $i -lt 40 ]; do dd if=/dev/zero of=${directory}/fill.$i bs=1M count=16 2>/dev/null || { echo HELD no space; exit 1; }; i=$((i+1)); sleep ${pauseSeconds}; done; echo BREACH 640 MiB\n`;
}

const diskOfPods = "the kubelet measures disks about once a minute; the runtime's own test fills one";

/** Attempts to use more than the limits allow. */
export const exhaustionAttacks: readonly Attack[] = [
  {
    id: "fork-bomb",
    does: "starts as many processes as it can",
    defence: "the number of processes is limited for the whole sandbox",
    script: perlScript(`
my $started = 0;
for (1..300) { my $pid = fork; if (!defined $pid) { print "HELD after $started: $!\\n"; exit } if ($pid == 0) { sleep 30; exit } $started++; }
print "BREACH $started processes\\n";`),
    notInPods: "only the kubelets' podPidsLimit limits the processes of a pod",
    weakened: { plan: { limits: { pids: 1000 } } },
  },
  {
    id: "memory",
    does: "uses more memory than its limit",
    defence: "memory and swap have one common limit",
    script: perlScript(`my @held; push @held, "x" x ${16 * MiB} for 1..24; print "BREACH 384 MiB\\n";`),
    endIsHeld: true,
    weakened: { plan: { limits: { memoryBytes: 1024 * MiB } } },
  },
  {
    id: "shared-memory",
    does: "hides memory in /dev/shm",
    defence: "/dev/shm has a size limit and counts as memory",
    script: `head -c ${200 * MiB} /dev/zero > /dev/shm/x; s=$(stat -c %s /dev/shm/x); [ "$s" -ge ${200 * MiB} ] && echo "BREACH $s" || echo "HELD $s"\n`,
    endIsHeld: true,
    weakened: { plan: { limits: { memoryBytes: 1024 * MiB, shmBytes: 512 * MiB } } },
  },
  {
    id: "system-v-shared-memory",
    does: "leaves shared memory that no process uses",
    defence: "the sandbox has its own IPC namespace; the memory limit",
    script: perlScript(`
for (1..24) { my $id = shmget(0, ${16 * MiB}, 0600); defined $id or do { print "HELD $!\\n"; exit };
  shmwrite($id, "x" x ${16 * MiB}, 0, ${16 * MiB}) or do { print "HELD $!\\n"; exit }; }
print "BREACH 384 MiB\\n";`),
    endIsHeld: true,
    weakened: { plan: { limits: { memoryBytes: 1024 * MiB } } },
  },
  {
    id: "disk-of-the-workspace",
    does: "fills the host's disk through the workspace",
    defence: "the workspace and the container's layer have one common limit",
    plan: { limits: { diskBytes: 64 * MiB } },
    script: fillDisk("/data", { pauseSeconds: 0.2 }),
    endIsHeld: true,
    timeoutMs: 60_000,
    notInPods: diskOfPods,
    weakened: { plan: { limits: {} }, script: fillDisk("/data", { pauseSeconds: 0 }) },
  },
  {
    id: "disk-of-the-layer",
    does: "fills the host's disk outside the workspace",
    defence: "the workspace and the container's layer have one common limit",
    plan: { limits: { diskBytes: 64 * MiB } },
    script: fillDisk("/fill", { pauseSeconds: 0.2 }),
    endIsHeld: true,
    timeoutMs: 60_000,
    notInPods: diskOfPods,
    weakened: { plan: { limits: {} }, script: fillDisk("/fill", { pauseSeconds: 0 }) },
  },
  {
    id: "open-files",
    does: "opens as many files as it can",
    defence: "the number of open files is limited for each process",
    script: perlScript(`
my @files; for (1..1_100_000) { open(my $file, "<", "/dev/null") or do { print "HELD after " . @files . ": $!\\n"; exit }; push @files, $file; }
print "BREACH " . @files . " files\\n";`),
    endIsHeld: true,
    weakened: { cannotBeShown: "an executor without CAP_SYS_RESOURCE can't raise the limit" },
  },
  {
    id: "core-dump",
    does: "fills the workspace with core dumps",
    defence: "core dumps are turned off",
    script: `cd /data; (ulimit -c unlimited) 2>/dev/null && ulimit -c unlimited; perl -e 'kill 11, $$'; ls /data/core* >/dev/null 2>&1 && echo BREACH a core dump || echo HELD none\n`,
    weakened: { cannotBeShown: "the host decides where core dumps are written" },
  },
  {
    id: "daemon",
    does: "leaves a daemon running that has closed all its files",
    defence: "all processes of a step end with it",
    script: `setsid sleep ${marks.daemon} </dev/null >/dev/null 2>&1 & echo left one\n`,
    expects: "left one",
    inspect: () => processesWith(marks.daemon),
    weakened: { cannotBeShown: "no setting lets a process outlive its step" },
  },
  {
    id: "stubborn",
    does: "ignores every signal that it can when it is stopped",
    defence: "the whole sandbox gets SIGKILL after the grace period",
    script: `trap '' TERM INT HUP QUIT; echo running; while :; do sleep ${marks.stubborn} & wait; done\n`,
    expects: "running",
    timeoutMs: 3000,
    inspect: () => processesWith(marks.stubborn),
    weakened: { cannotBeShown: "no setting lets a process outlive its step" },
  },
  {
    id: "zombies",
    does: "leaves orphaned zombie processes again and again",
    defence: "the sandbox's init reaps them",
    script: perlScript(`
for (1..300) { my $pid = fork; defined $pid or do { print "BREACH no process left after $_: $!\\n"; exit };
  if ($pid == 0) { my $child = fork; exit } waitpid($pid, 0); select(undef, undef, undef, 0.005); }
print "HELD 300 orphans were reaped\\n";`),
    weakened: { cannotBeShown: "no setting removes the init" },
  },
  {
    id: "deep-directories",
    does: "nests directories so deeply that removing them by path fails",
    defence: "Airlock removes them by directory handles, not by paths",
    script: perlScript(`
for my $top ("/data", "/tmp") { chdir $top; for (1..500) { mkdir "d" x 100; chdir "d" x 100 or last } }
print "dug\\n";`),
    expects: "dug",
    weakened: { cannotBeShown: "without the defence, the test could not remove the sandbox" },
  },
  {
    id: "huge-arguments",
    does: "passes more arguments to a program than the kernel accepts",
    defence: "the kernel's limit, and a result that names it",
    script: `x=$(head -c 3000000 /dev/zero | tr '\\0' x); /bin/echo "$x" >/dev/null 2>&1 && echo BREACH it ran || echo HELD it did not run\n`,
    weakened: { cannotBeShown: "the kernel sets the limit" },
  },
];
