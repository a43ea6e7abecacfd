import type { Attack, Weakened } from "../attack.ts";
import { perlScript } from "../scripts.ts";

interface UserLimit {
  readonly id: string;
  /** What the neighbour uses up. */
  readonly what: string;
  /** Perl that takes as much as the kernel gives, and counts it in `$taken`. */
  readonly take: string;
  /** Perl expression: whether this sandbox still gets one. */
  readonly getsOne: string;
  readonly weakened: Weakened;
}

const hostsToo: Weakened = { cannotBeShown: "the attack would also affect root on the host" };
const rootOfTheHost: Weakened = { hardening: { userNamespace: false } };

const queueSignal = `my ($blocked, $signal) = (pack("Q", 1 << 39), pack("iii x116", 40, 0, -1)); syscall(14, 0, $blocked, 0, 8);
sub queueSignal { syscall(129, $$ + 0, 40, $signal) != -1 }`;
const makeQueue = `sub queue { my ($name, $size) = ("airlock" . shift, pack("q8", 0, 10, 8192, 0, 0, 0, 0, 0));
  syscall(240, $name, 0102, 0600, $size) != -1 }`;
const makePipe = `my @pipes; sub widePipe { pipe(my $out, my $in) or return 0; push @pipes, $out, $in;
  fcntl($out, 1032, 0) >= 65536 }`;
const passDescriptors = `my @sockets; open(my $null, "<", "/dev/null"); my $byte = "x"; my $bytes = pack("PQ", $byte, 1);
sub pass { my $count = shift; my $rights = pack("Qii i$count", 16 + 4 * $count, 1, 1, (fileno $null) x $count);
  my $message = pack("QQPQPQQ", 0, 0, $bytes, 1, $rights, length $rights, 0);
  for (1 .. 2) {
    return 1 if @sockets && syscall(46, fileno $sockets[-1], $message, 0x40) != -1;
    return 0 if @sockets && $! != 11;
    socketpair(my $one, my $two, 1, 1, 0) or return 0; push @sockets, $one, $two }
  return 0 }`;

const userLimits: readonly UserLimit[] = [
  {
    id: "user-signals",
    what: "pending signals",
    take: `${queueSignal}\n$taken++ while $taken < 1000000 && queueSignal();`,
    getsOne: `${queueSignal}\nmy $got = 10 == grep { queueSignal() } 1 .. 10;`,
    weakened: rootOfTheHost,
  },
  {
    id: "user-message-queues",
    what: "POSIX message queues",
    take: `${makeQueue}\n$taken++ while queue($taken);`,
    getsOne: `${makeQueue}\nmy $got = queue("probe");`,
    weakened: rootOfTheHost,
  },
  {
    id: "user-inotify",
    what: "inotify instances",
    take: "$taken++ while $taken < 20000 && syscall(294, 0) != -1;",
    getsOne: "my $got = syscall(294, 0) != -1;",
    weakened: hostsToo,
  },
  {
    id: "user-pipe-pages",
    what: "pipe pages",
    take: `${makePipe}\n$taken++ while $taken < 20000 && widePipe();`,
    getsOne: `${makePipe}\nmy $got = widePipe();`,
    weakened: hostsToo,
  },
  {
    id: "user-descriptors-in-flight",
    what: "file descriptors in flight in sockets",
    take: `${passDescriptors}\n$taken += 250 while $taken < 4000000 && pass(250);`,
    getsOne: `${passDescriptors}\nmy $got = pass(1);`,
    weakened: hostsToo,
  },
];

/**
 * Attacks on resources that the kernel limits per user. The neighbour takes as many as it can. If both sandboxes have
 * the same host ids, the step that the suite judges gets none.
 */
export const userLimitAttacks: readonly Attack[] = userLimits.map(({ id, what, take, getsOne, weakened }) => ({
  id,
  does: `uses up the ${what} that the kernel allows its user, so that another job gets none`,
  defence: "each sandbox has its own range of host ids",
  // With Docker, all containers have the same users.
  runtimes: ["oci"],
  neighbour: perlScript(`my $taken = 0;\n${take}\nprint "READY $taken ($!)\\n"; sleep 60;`),
  script: perlScript(`${getsOne}
print $got ? "HELD beside $ENV{NEIGHBOUR}\\n" : "BREACH beside $ENV{NEIGHBOUR}: $!\\n";`),
  weakened,
}));
