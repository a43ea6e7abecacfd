import { open } from "node:fs/promises";
import { type Attack, notInGuests } from "../attack.ts";
import { perlScript } from "../scripts.ts";

const MiB = 2 ** 20;

/** Enough memory to hide it in connections. A guest's kernel limits its sockets by the size of the machine before that. */
const withMoreMemory = notInGuests(
  { plan: { limits: { memoryBytes: 2048 * MiB } } },
  "the guest's kernel limits the memory of all sockets first",
);

/** Attempts to exhaust resources that the kernel counts apart from memory, processes and disk. */
export const kernelObjectAttacks: readonly Attack[] = [
  {
    id: "processor",
    does: "uses more processor time than its limit",
    defence: "processor time is limited for the whole sandbox",
    plan: { limits: { cpus: 0.1 } },
    script: perlScript(`
sub now { open(my $file, "<", "/proc/uptime"); (split " ", <$file>)[0] }
my $start = now();
for (1..4) { if (fork == 0) { while (now() - $start < 3) { } exit } }
wait for 1..4; my (undef, undef, $user, $system) = times;
my $used = ($user + $system) / (now() - $start);
printf "%s %.2f processors\\n", $used > 0.2 ? "BREACH" : "HELD", $used;`),
    weakened: { plan: { limits: { cpus: 2 } } },
  },
  {
    id: "socket-buffers",
    does: "hides memory in sockets that are never read",
    defence: "kernel memory that a sandbox causes counts towards its memory limit",
    script: perlScript(`
my ($held, @sockets) = (0); my $data = "x" x 65536;
while ($held < ${384 * MiB}) {
  socketpair(my $one, my $two, 1, 1, 0) or do { print "HELD after $held: $!\\n"; exit };
  push @sockets, $one, $two; $one->blocking(0);
  while (my $sent = syswrite($one, $data)) { $held += $sent }
}
print "BREACH $held bytes\\n";`),
    endIsHeld: true,
    weakened: { plan: { limits: { memoryBytes: 1024 * MiB } } },
  },
  {
    id: "starvation",
    does: "fills its memory so that the kernel reads its program again and again, and kills nothing",
    defence: "a process is killed once the processes of a sandbox starve for memory",
    runtimes: ["docker", "oci", "microvm"],
    timeoutMs: 60_000,
    // The pages of a copy count towards the memory of the step.
    script: `cp /usr/bin/perl /data/perl; sync; exec /data/perl - <<'PERL'
my ($held, @sockets) = (0); my $data = "x" x 65536;
while (1) {
  socketpair(my $one, my $two, 1, 1, 0) or do { print "BREACH $!\\n"; exit };
  push @sockets, $one, $two; $one->blocking(0);
  while (my $sent = syswrite($one, $data)) { $held += $sent }
}
PERL
`,
    endIsHeld: true,
    weakened: { cannotBeShown: "the kernel may kill the process itself, after a time that nobody can foresee" },
  },
  {
    id: "tcp-buffers",
    does: "hides memory in TCP connections to itself that it never reads",
    defence: "memory of a sandbox's connections counts towards its memory limit; on cgroup v1 it has a separate limit",
    script: perlScript(`
socket(my $listener, 2, 1, 6) or die $!; bind($listener, pack("SnC4x8", 2, 0, 127, 0, 0, 1)) or die $!; listen($listener, 1000);
my $to = getsockname($listener); my ($held, @sockets) = (0); my $data = "x" x 65536;
while ($held < ${384 * MiB} && @sockets < 400) {
  my ($from, $into); (socket($from, 2, 1, 6) && connect($from, $to) && accept($into, $listener)) or do { print "HELD after $held: $!\\n"; exit };
  push @sockets, $from, $into; $from->blocking(0);
  # The peer's buffer accepts data with a delay, so try three times.
  for (my $full = 0; $full < 3; ) { my $sent = syswrite($from, $data); if ($sent) { $held += $sent; $full = 0 } else { $full++; select(undef, undef, undef, 0.002) } }
}
print $held < ${384 * MiB} ? "HELD" : "BREACH", " $held bytes\\n";`),
    notInPods: "on nodes with cgroup v2 they count as memory; on cgroup v1 Kubernetes has no limit for them",
    endIsHeld: true,
    weakened: withMoreMemory,
  },
  {
    id: "udp-buffers",
    does: "hides memory in datagrams to itself that it never reads",
    defence: "memory of a sandbox's connections counts towards its memory limit; on cgroup v1 it has a separate limit",
    script: perlScript(`
my ($held, $before, @sockets) = (0, -1); my $data = "x" x 30000; socket(my $from, 2, 2, 17) or die $!; $from->blocking(0);
while ($held < ${384 * MiB}) {
  for (1 .. 100) {
    my $into; (socket($into, 2, 2, 17) && bind($into, pack("SnC4x8", 2, 0, 127, 0, 0, 1))) or do { print "HELD after $held: $!\\n"; exit };
    setsockopt($into, 1, 8, pack("i", 64 << 20)); push @sockets, $into; my $to = getsockname($into);
    for (1 .. 12) { send($from, $data, 0, $to) or last }
  }
  # The kernel drops excess datagrams silently, so count the bytes in the receivers' queues.
  open(my $table, "<", "/proc/net/udp"); $held = 0;
  while (<$table>) { $held += hex($1) if /:[0-9A-F]+ \\d\\d [0-9A-F]+:([0-9A-F]+) / }
  if ($held <= $before) { print "HELD after $held\\n"; exit } $before = $held;
}
print "BREACH $held bytes\\n";`),
    notInPods: "on nodes with cgroup v2 they count as memory; on cgroup v1 Kubernetes has no limit for them",
    endIsHeld: true,
    weakened: withMoreMemory,
  },
  {
    id: "message-queues",
    does: "hides memory in POSIX message queues",
    defence: "the sandbox has its own IPC namespace; the kernel's limit for each user",
    script: perlScript(`
my $held = 0;
for my $number (1..2000) {
  my ($name, $attributes) = ("airlock$number", pack("q8", 0, 10, 8192, 0, 0, 0, 0, 0));
  my $queue = syscall(240, $name, 0102, 0600, $attributes);
  if ($queue == -1) { print "HELD after $held queues: $!\\n"; exit } $held++;
}
print "BREACH $held queues\\n";`),
    weakened: { cannotBeShown: "no setting raises the limit, which needs CAP_SYS_RESOURCE" },
  },
  {
    id: "pseudo-terminals",
    does: "opens pseudo terminals until the host has none left",
    defence: "the sandbox has its own /dev/pts, and the kernel reserves terminals for the host",
    script: perlScript(`
my @open; while (@open < 20000 && sysopen(my $file, "/dev/ptmx", 2 | 0400)) { push @open, $file }
print "opened " . @open . "\\n"; sleep 1;`),
    expects: "opened",
    // Opens a terminal as a login on the host would.
    watch: async () => {
      try {
        await (await open("/dev/ptmx", "r+")).close();
        return null;
      } catch (error) {
        return `the host has no terminal left: ${error}`;
      }
    },
    weakened: { cannotBeShown: "the kernel reserves terminals for the host in any case" },
  },
];
