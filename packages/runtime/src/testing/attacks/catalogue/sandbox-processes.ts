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
    does: "kills every process that it sees, the sandbox's init first",
    defence: "the end of the init is the end of the step, told at once",
    script: "echo killing; kill -9 1; kill -9 -1; exit 0\n",
    expects: "killing",
    inspect: endedBySelf,
    weakened: never("no setting leaves the init out"),
  },
  {
    id: "init-stopped",
    does: "stops the sandbox's init by signal and by ptrace, and ends",
    defence: "the host waits for the step, not for the init's word",
    script: perlScript(`
print "stopping\\n"; syscall(101, 16, 1, 0, 0); kill "STOP", 1; exit 0;`),
    expects: "stopping",
    inspect: endedBySelf,
    weakened: never("no setting leaves the init out"),
  },
  {
    id: "init-environment",
    does: "looks for more than its own variables in the environment of the sandbox's init",
    defence: "the init's environment is the image's",
    script: perlScript(`
open(my $file, "<", "/proc/1/environ") or do { print "HELD $!\\n"; exit }; local $/; my $all = <$file> // "";
my %known = map { $_ => 1 } qw(PATH HOME HOSTNAME PWD SHLVL TERM OLDPWD USER container _), keys %ENV;
my @more = grep { !$known{$_} } map { (split /=/)[0] } split /\\0/, $all;
print @more ? "BREACH @more\\n" : "HELD nothing more\\n";`),
    weakened: never("no setting hands it on"),
  },
  {
    id: "leaked-descriptors",
    does: "looks for open files of the executor, the engine or the OCI runtime among the descriptors of its processes",
    defence: "descriptors are closed before the step's program starts",
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
    does: "opens the host's program that started it for writing, by the links in /proc",
    defence: "the program in a sandbox's processes is the image's",
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
    does: "types commands into the terminal of whoever started the executor",
    defence: "no terminal",
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
    does: "makes the kernel kill others before itself when memory is short",
    defence: "no capability SYS_RESOURCE",
    script: forbiddenCommands("echo -900 > /proc/self/oom_score_adj"),
    weakened: never("an executor in a container may lack the capability itself"),
  },
  {
    id: "priority",
    does: "takes precedence over every other process of the machine",
    defence: "no capability SYS_NICE",
    script: perlScript(`print setpriority(0, 0, -20) ? "BREACH it has\\n" : "HELD $!\\n";`),
    weakened: { hardening: { capabilities: ["SYS_NICE"], userNamespace: false } },
  },
  {
    id: "workspace-replaced",
    does: "puts a link in the place of the workspace itself",
    defence: "the workspace is a mount",
    script: forbiddenCommands("mv /data /elsewhere && ln -s /etc /data"),
    weakened: never("no setting leaves the mount out"),
  },
  {
    id: "scripts-replaced",
    does: "puts a directory of its own in the place of the scripts",
    defence: "scripts are a mount of their own",
    script: forbiddenCommands("mv /airlock /elsewhere && mkdir /airlock"),
    weakened: never("no setting leaves the mount out"),
  },
  {
    id: "hard-links",
    does: "links scripts and the host's name files into the workspace, to write to them there",
    defence: "they are other mounts, which no hard link crosses",
    script: `for file in /airlock/attack /etc/hosts /etc/resolv.conf /etc/hostname /proc/version /dev/null; do
  ln "$file" /data/link 2>/dev/null && { echo "BREACH $file"; exit; }; done; echo HELD none is linked\n`,
    weakened: never("no setting puts them on one mount"),
  },
  {
    id: "other-call-table",
    does: "makes a user namespace and a socket to the hypervisor by the kernel's table of system calls for x32",
    defence: "system call filter, which ends a process that uses this table",
    script: perlScript(`
my @reached;
for ([272, 0x10000000], [41, 40, 1, 0], [41, 38, 5, 0], [53, 40, 1, 0]) {
  my ($number, @arguments) = @$_; my $pid = fork;
  if ($pid == 0) { my $result = syscall(0x40000000 + $number, @arguments); exit($result == -1 && ($! == 1 || $! == 38) ? 0 : 1) }
  waitpid($pid, 0); push @reached, $number if $? >> 8;
}
print @reached ? "BREACH @reached\\n" : "HELD ended with $?\\n";`),
    weakened: never("kernels may be built without this table"),
  },
];
