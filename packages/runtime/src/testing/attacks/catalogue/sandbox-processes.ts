import type { Attack, Scene, Weakened } from "../attack.ts";
import { forbiddenCommands, perlScript } from "../scripts.ts";

/** Fails if the step never ended by itself, so that the suite had to stop it. */
const endedBySelf = async ({ status }: Scene): Promise<string | null> =>
  status instanceof Error && status.name === "TimeoutError" ? "the step hung" : null;

const never = (why: string): Weakened => ({ cannotBeShown: why });

/** Attacks on the processes, descriptors and mounts of the step's own sandbox. */
export const sandboxProcessAttacks: readonly Attack[] = [
  {
    id: "init-killed",
    does: "kills every process that it sees, starting with the sandbox's init",
    defence: "the step ends with its init, and the executor notices immediately",
    script: "echo killing; kill -9 1; kill -9 -1; exit 0\n",
    expects: "killing",
    inspect: endedBySelf,
    weakened: never("no setting removes the init"),
  },
  {
    id: "init-stopped",
    does: "stops the sandbox's init with a signal and with ptrace, then ends",
    defence: "the executor waits for the step itself, not for a report of the init",
    script: perlScript(`
print "stopping\\n"; syscall(101, 16, 1, 0, 0); kill "STOP", 1; exit 0;`),
    expects: "stopping",
    inspect: endedBySelf,
    weakened: never("no setting removes the init"),
  },
  {
    id: "init-environment",
    does: "looks for the executor's variables in the environment of the sandbox's init",
    defence: "the init gets only the image's environment",
    script: perlScript(`
open(my $file, "<", "/proc/1/environ") or do { print "HELD $!\\n"; exit }; local $/; my $all = <$file> // "";
my %known = map { $_ => 1 } qw(PATH HOME HOSTNAME PWD SHLVL TERM OLDPWD USER container _), keys %ENV;
my @more = grep { !$known{$_} } map { (split /=/)[0] } split /\\0/, $all;
print @more ? "BREACH @more\\n" : "HELD nothing more\\n";`),
    weakened: never("no setting hands it on"),
  },
  {
    id: "leaked-descriptors",
    does: "looks for leaked file descriptors of the executor, the engine or the OCI runtime",
    defence: "file descriptors are closed before the step's program starts",
    script: perlScript(`
my @found;
for my $link (glob("/proc/[0-9]*/fd/*")) {
  my $target = readlink($link) // next;
  next if $target =~ m{^(pipe|socket|anon_inode):|^/dev/(null|full|zero|pts/\\d+)$|^/airlock/|^/proc/\\d+/fd$};
  next if $target =~ m{ \\(deleted\\)$} || $target =~ m{^/tmp/};
  push @found, "$link $target";
}
print @found ? "BREACH @found\\n" : "HELD pipes and sockets only\\n";`),
    weakened: never("no setting leaves them open"),
  },
  {
    id: "runtime-program",
    does: "overwrites the host's program that started it, by the links in /proc",
    defence: "every process in a sandbox runs a program of the image",
    script: perlScript(`
for (1..10) {
  for my $link (glob("/proc/[0-9]*/exe")) {
    my $target = readlink($link) // next;
    next if $target =~ m{^/(usr/)?bin/(busybox|sh|perl|sleep)$};
    if (sysopen(my $file, $link, 1)) { print "BREACH $target opens for writing\\n"; exit }
  }
  select(undef, undef, undef, 0.05);
}
print "HELD none opens\\n";`),
    weakened: never("no setting leaves such a program in the sandbox"),
  },
  {
    id: "terminal-injection",
    does: "types commands into the terminal from which the executor was started",
    defence: "steps have no terminal",
    script: perlScript(`
for my $path ("/dev/tty", "/dev/console", "/proc/self/fd/0", "/proc/self/fd/1", "/proc/self/fd/2", "/proc/1/fd/0", "/proc/1/fd/1") {
  sysopen(my $file, $path, 2 | 0400 | 04000) or next;
  my $character = "x"; if (ioctl($file, 0x5412, $character)) { print "BREACH $path takes it\\n"; exit }
}
print "HELD none takes it\\n";`),
    weakened: never("no setting gives a step a terminal"),
  },
  {
    id: "out-of-memory-order",
    does: "makes the kernel kill other processes first when memory runs out",
    defence: "no capability SYS_RESOURCE",
    script: forbiddenCommands("echo -900 > /proc/self/oom_score_adj"),
    weakened: never("an executor in a container may not have the capability itself"),
  },
  {
    id: "priority",
    does: "raises its priority over every other process on the host",
    defence: "no capability SYS_NICE",
    script: perlScript(`print setpriority(0, 0, -20) ? "BREACH it has\\n" : "HELD $!\\n";`),
    weakened: { hardening: { capabilities: ["SYS_NICE"], userNamespace: false } },
  },
  {
    id: "workspace-replaced",
    does: "replaces the workspace by a symbolic link",
    defence: "the workspace is a mount point",
    script: forbiddenCommands("mv /data /elsewhere && ln -s /etc /data"),
    weakened: never("no setting removes the mount"),
  },
  {
    id: "scripts-replaced",
    does: "replaces the directory of the scripts by its own",
    defence: "the directory is a mount point",
    script: forbiddenCommands("mv /airlock /elsewhere && mkdir /airlock"),
    weakened: never("no setting removes the mount"),
  },
  {
    id: "hard-links",
    does: "makes hard links in the workspace to the scripts and to files such as /etc/hosts, to write to them",
    defence: "they are on other mounts, and hard links can't cross mounts",
    script: `for file in /airlock/attack /etc/hosts /etc/resolv.conf /etc/hostname /proc/version /dev/null; do
  ln "$file" /data/link 2>/dev/null && { echo "BREACH $file"; exit; }; done; echo HELD none is linked\n`,
    weakened: never("no setting puts them on one mount"),
  },
  {
    id: "other-call-table",
    does: "creates a user namespace and a socket to the hypervisor by x32 system calls",
    defence: "the system call filter kills a process that makes x32 calls",
    script: perlScript(`
my @reached;
for ([272, 0x10000000], [41, 40, 1, 0], [41, 38, 5, 0], [53, 40, 1, 0]) {
  my ($number, @arguments) = @$_; my $pid = fork;
  if ($pid == 0) { my $result = syscall(0x40000000 + $number, @arguments); exit($result == -1 && ($! == 1 || $! == 38) ? 0 : 1) }
  waitpid($pid, 0); push @reached, $number if $? >> 8;
}
print @reached ? "BREACH @reached\\n" : "HELD ended with $?\\n";`),
    weakened: never("some kernels are built without x32"),
  },
];
