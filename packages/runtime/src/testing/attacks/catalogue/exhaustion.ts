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

/** Unlikely numbers of seconds, so that no unrelated process matches. */
const marks = { daemon: "86413.7", stubborn: "86417.3", zombies: "86419.1" };

/** Attempts to use more than the limits allow. */
export const exhaustionAttacks: readonly Attack[] = [
  {
    id: "fork-bomb",
    does: "starts as many processes as it can",
    defence: "a limit of processes for the whole sandbox",
    script: perlScript(`
my $started = 0;
for (1..300) { my $pid = fork; if (!defined $pid) { print "HELD after $started: $!\\n"; exit } if ($pid == 0) { sleep 30; exit } $started++; }
print "BREACH $started processes\\n";`),
    weakened: { plan: { limits: { pids: 1000 } } },
  },
  {
    id: "memory",
    does: "takes more memory than it was given",
    defence: "a limit of memory and swap together",
    script: perlScript(`my @held; push @held, "x" x ${16 * MiB} for 1..24; print "BREACH 384 MiB\\n";`),
    endIsHeld: true,
    weakened: { plan: { limits: { memoryBytes: 1024 * MiB } } },
  },
  {
    id: "shared-memory",
    does: "hides memory in /dev/shm",
    defence: "a bound of /dev/shm, which counts as memory",
    script: `head -c ${200 * MiB} /dev/zero > /dev/shm/x; s=$(stat -c %s /dev/shm/x); [ "$s" -ge ${200 * MiB} ] && echo "BREACH $s" || echo "HELD $s"\n`,
    endIsHeld: true,
    weakened: { plan: { limits: { memoryBytes: 1024 * MiB, shmBytes: 512 * MiB } } },
  },
  {
    id: "system-v-shared-memory",
    does: "leaves shared memory behind that no process holds",
    defence: "an IPC namespace of its own; the limit of memory",
    script: perlScript(`
for (1..24) { my $id = shmget(0, ${16 * MiB}, 0600); defined $id or do { print "HELD $!\\n"; exit };
  shmwrite($id, "x" x ${16 * MiB}, 0, ${16 * MiB}) or do { print "HELD $!\\n"; exit }; }
print "BREACH 384 MiB\\n";`),
    endIsHeld: true,
    weakened: { plan: { limits: { memoryBytes: 1024 * MiB } } },
  },
  {
    id: "disk-of-the-workspace",
    does: "fills the disk by way of the workspace",
    defence: "a bound of the workspace and the container's layer together",
    plan: { limits: { diskBytes: 64 * MiB } },
    script: `i=0; while [ $i -lt 40 ]; do head -c ${16 * MiB} /dev/zero > /data/fill.$i || { echo HELD no space; exit 1; }; i=$((i+1)); sleep 0.2; done; echo BREACH 640 MiB\n`,
    endIsHeld: true,
    timeoutMs: 60_000,
    weakened: { plan: { limits: {} } },
  },
  {
    id: "disk-of-the-layer",
    does: "fills the disk outside of the workspace",
    defence: "a bound of the workspace and the container's layer together",
    plan: { limits: { diskBytes: 64 * MiB } },
    script: `mkdir -p /fill; i=0; while [ $i -lt 40 ]; do head -c ${16 * MiB} /dev/zero > /fill/$i || { echo HELD no space; exit 1; }; i=$((i+1)); sleep 0.2; done; echo BREACH 640 MiB\n`,
    endIsHeld: true,
    timeoutMs: 60_000,
    weakened: { plan: { limits: {} } },
  },
  {
    id: "open-files",
    does: "opens files without end",
    defence: "a limit of open files for each process",
    script: perlScript(`
my @files; for (1..1_100_000) { open(my $file, "<", "/dev/null") or do { print "HELD after " . @files . ": $!\\n"; exit }; push @files, $file; }
print "BREACH " . @files . " files\\n";`),
    endIsHeld: true,
    weakened: { cannotBeShown: "a process without CAP_SYS_RESOURCE can't give more than it has" },
  },
  {
    id: "core-dump",
    does: "fills the workspace with dumps of its memory",
    defence: "no core dumps",
    script: `cd /data; (ulimit -c unlimited) 2>/dev/null && ulimit -c unlimited; perl -e 'kill 11, $$'; ls /data/core* >/dev/null 2>&1 && echo BREACH a core dump || echo HELD none\n`,
    weakened: { cannotBeShown: "where dumps go is the host's setting" },
  },
  {
    id: "daemon",
    does: "leaves a process behind that has closed everything",
    defence: "the end of a step is the end of every process in it",
    script: `setsid sleep ${marks.daemon} </dev/null >/dev/null 2>&1 & echo left one\n`,
    expects: "left one",
    inspect: () => processesWith(marks.daemon),
    weakened: { cannotBeShown: "no setting lets a process live on" },
  },
  {
    id: "stubborn",
    does: "ignores every signal that it can, and is stopped",
    defence: "SIGKILL to the whole sandbox after the grace period",
    script: `trap '' TERM INT HUP QUIT; echo running; while :; do sleep ${marks.stubborn} & wait; done\n`,
    expects: "running",
    timeoutMs: 3000,
    inspect: () => processesWith(marks.stubborn),
    weakened: { cannotBeShown: "no setting lets a process live on" },
  },
  {
    id: "zombies",
    does: "leaves children to nobody, again and again",
    defence: "an init that reaps",
    script: perlScript(`
for (1..300) { my $pid = fork; defined $pid or do { print "BREACH no process left after $_: $!\\n"; exit };
  if ($pid == 0) { my $child = fork; exit } waitpid($pid, 0); select(undef, undef, undef, 0.005); }
print "HELD 300 orphans were reaped\\n";`),
    weakened: { cannotBeShown: "no setting leaves the init out" },
  },
  {
    id: "deep-directories",
    does: "makes directories so deep that removing them fails",
    defence: "removal by directory handles, without recursion on paths",
    script: perlScript(`
for my $top ("/data", "/tmp") { chdir $top; for (1..500) { mkdir "d" x 100; chdir "d" x 100 or last } }
print "dug\\n";`),
    expects: "dug",
    weakened: { cannotBeShown: "giving back the sandbox would fail, and this test with it" },
  },
  {
    id: "huge-arguments",
    does: "passes more arguments than the kernel takes, for its own end",
    defence: "the kernel's bound, and a result that says so",
    script: `x=$(head -c 3000000 /dev/zero | tr '\\0' x); /bin/echo "$x" >/dev/null 2>&1 && echo BREACH it ran || echo HELD it did not run\n`,
    weakened: { cannotBeShown: "the bound is the kernel's" },
  },
];
