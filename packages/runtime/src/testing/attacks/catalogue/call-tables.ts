import { type Attack, notInGuests, type Weakened } from "../attack.ts";
import { perlScript } from "../scripts.ts";

const withoutSeccomp: Weakened = { hardening: { seccomp: false } };

/**
 * Perl code that tries calls and lists those whose kernel code was reached: all whose error is not EPERM or ENOSYS, the
 * filter's own answers. If a kernel was built without a socket family, it says so only after it looked for a module.
 */
const judge = `
my @reached; my $tried = 0;
sub tried { my ($name, $error) = @_; $tried++; push @reached, "$name: " . ($error || "it works") unless $error =~ /^(1|38)$/ }
END { print @reached ? "BREACH @reached\\n" : $tried ? "HELD all $tried\\n" : "" }
`;

/**
 * Perl code by which a 64-bit program makes calls of the 32-bit table. The result is an error number, 0 for success.
 */
const call32 = `
DynaLoader::boot_DynaLoader("DynaLoader");
sub call32 {
  my ($number, $first, $memory) = (shift, shift, pack("L*", @_));
  my $pid = fork;
  if ($pid == 0) {
    my $page = syscall(9, 0, 4096, 7, 0x62, -1, 0); my $at = $page + 2048;
    # ebx is the first argument, ecx the address of the others; exit with the call's error.
    my $code = pack("CLCLCL", 0xb8, $number, 0xbb, $first, 0xb9, $at) . pack("H*", "cd8085c0780231c0f7d889c3b801000000cd80");
    pipe(my $out, my $in); syswrite($in, my $bytes = $code . "\\0" x (2048 - length $code) . $memory);
    syscall(0, fileno($out), $page, length $bytes);
    DynaLoader::dl_install_xsub("run_code", $page); run_code();
  }
  waitpid($pid, 0);
  # Ended by a signal: the kernel lacks the table, or the filter kills processes that use it.
  return $? & 127 ? 38 : $? >> 8;
}
`;

/** Socket families that ignore network namespaces, or for which the kernel would load rarely tested modules. */
const families = {
  VSOCK: [40, 1],
  ALG: [38, 5],
  XDP: [44, 3],
  CAN: [29, 3],
  RDS: [21, 5],
  TIPC: [30, 5],
  BLUETOOTH: [31, 3],
  NFC: [39, 3],
  KCM: [41, 2],
  QIPCRTR: [42, 2],
  SMC: [43, 1],
  LLC: [26, 1],
  X25: [9, 5],
  AX25: [3, 5],
} as const;

/** Perl's list of `[name, family, type]`. */
const familyList = Object.entries(families)
  .map(([name, [family, type]]) => `["${name}", ${family}, ${type}]`)
  .join(", ");

/** Attacks that try to bypass a filter that checks only call numbers, or only one table of numbers. */
export const callTableAttacks: readonly Attack[] = [
  {
    id: "socket-families",
    does: "opens sockets of families that ignore network namespaces or are rarely used",
    defence: "the system call filter has an allow-list of socket families",
    script: perlScript(`${judge}
for (${familyList}) { my ($name, $family, $type) = @$_; tried($name, socket(my $s, $family, $type, 0) ? 0 : $! + 0) }`),
    weakened: withoutSeccomp,
  },
  {
    id: "socket-pair-families",
    does: "creates socket pairs of those families",
    defence: "the system call filter allows only pairs of Unix sockets",
    script: perlScript(`${judge}
for (["INET", 2, 1], ${familyList}) { my ($name, $family, $type) = @$_; tried($name, socketpair(my $s, my $t, $family, $type, 0) ? 0 : $! + 0) }`),
    weakened: withoutSeccomp,
  },
  {
    id: "socket-protocols",
    does: "opens internet and netlink sockets of rarely used protocols",
    defence: "the system call filter has an allow-list of protocols",
    script: perlScript(`${judge}
for my $family (2, 10) {
  for (["SCTP", 1, 132], ["SCTP messages", 5, 132], ["DCCP", 6, 33], ["UDPLITE", 2, 136], ["L2TP", 2, 115], ["SMC", 1, 256]) {
    my ($name, $type, $protocol) = @$_; tried("$name in $family", socket(my $s, $family, $type, $protocol) ? 0 : $! + 0);
  }
}
for (["CRYPTO", 21], ["CONNECTOR", 11], ["FIB_LOOKUP", 10], ["SCSITRANSPORT", 18], ["RDMA", 20]) {
  my ($name, $protocol) = @$_; tried("netlink $name", socket(my $s, 16, 3, $protocol) ? 0 : $! + 0);
}`),
    weakened: withoutSeccomp,
  },
  {
    id: "socketcall",
    does: "opens sockets of those families with socketcall(2), the socket call of 32-bit programs",
    defence: "the system call filter forbids socketcall(2), whose arguments it can't read",
    script: perlScript(`${judge}${call32}
for (["INET", 2, 1], ${familyList}) { my ($name, $family, $type) = @$_; tried($name, call32(102, 1, $family, $type, 0)) }
tried("a pair", call32(102, 8, 1, 1, 0, 0)); tried("sendmsg", call32(102, 16, 0, 0, 0));`),
    weakened: notInGuests(withoutSeccomp, "no setting lets a step in a guest reach AF_VSOCK"),
  },
  {
    id: "call-table-of-32-bits",
    does: "makes forbidden calls through the kernel's 32-bit system call table",
    defence: "the system call filter covers every system call table",
    script: perlScript(`${judge}${call32}
my %calls = (mount => 21, ptrace => 26, umount => 52, reboot => 88, syslog => 103, vm86 => 166, init_module => 128, quotactl => 131,
  pivot_root => 217, io_setup => 245, kexec_load => 283, add_key => 286, request_key => 287, keyctl => 288, unshare => 310,
  perf_event_open => 336, fanotify_init => 338, open_by_handle_at => 342, clock_settime => 264,
  setns => 346, process_vm_readv => 347, finit_module => 350, bpf => 357, userfaultfd => 374, io_uring_setup => 425, open_tree => 428,
  fsopen => 430, clone3 => 435, pidfd_getfd => 438, mount_setattr => 442, memfd_secret => 447, swapoff => 115);
for my $name (sort keys %calls) { tried($name, call32($calls{$name}, 0)) }
tried("clone with a user namespace", call32(120, 0x10000011));
tried("personality", call32(136, 0x0040000));`),
    weakened: withoutSeccomp,
  },
];
