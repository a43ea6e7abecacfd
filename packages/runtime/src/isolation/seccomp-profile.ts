import { allowedCalls } from "./allowed-calls.ts";

/** The `linux.seccomp` object of an OCI bundle. */
export interface SeccompProfile {
  readonly defaultAction: string;
  readonly defaultErrnoRet?: number;
  readonly architectures: readonly string[];
  readonly syscalls: readonly SeccompRule[];
}

export interface SeccompRule {
  readonly names: readonly string[];
  readonly action: string;
  readonly errnoRet?: number;
  readonly args?: readonly {
    readonly index: number;
    readonly value: number;
    readonly valueTwo?: number;
    readonly op: string;
  }[];
}

const EPERM = 1;
const ENOSYS = 38;

const [AF_UNIX, AF_INET, AF_INET6, AF_NETLINK, AF_PACKET] = [1, 2, 10, 16, 17];
const SOCK_RAW = 3;

/** 0 (the default of the socket type), ICMP, TCP, UDP, ICMPv6, raw, MPTCP. */
const internetProtocols = [0, 1, 6, 17, 58, 255, 262];

/** ROUTE, SOCK_DIAG, XFRM, AUDIT, NETFILTER, KOBJECT_UEVENT, GENERIC. Changes through these need a capability. */
const netlinkProtocols = [0, 4, 6, 9, 12, 15, 16];

/** CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID and NEWNET of clone(2). */
const cloneNamespaceFlags = 0x7e020000;

/**
 * The system call filter of steps. Everything that is not listed fails with EPERM: mount and namespace calls, bpf,
 * ptrace and process_vm_*, keyrings, io_uring, libaio, userfaultfd, perf_event_open, open_by_handle_at, kexec, modules,
 * clocks, swap, quota, and every call that a future kernel adds.
 */
export function seccompProfile(cpu: NodeJS.Architecture): SeccompProfile {
  const architecture = architectures[cpu];
  return {
    defaultAction: "SCMP_ACT_ERRNO",
    defaultErrnoRet: EPERM,
    architectures: architecture?.names ?? [],
    syscalls: [
      { names: [...Object.values(allowedCalls).flat(), ...(architecture?.syscalls ?? [])], action: "SCMP_ACT_ALLOW" },
      ...socketRules(),
      {
        names: ["clone"],
        action: "SCMP_ACT_ALLOW",
        args: [{ index: 0, value: cloneNamespaceFlags, valueTwo: 0, op: "SCMP_CMP_MASKED_EQ" }],
      },
      // The flags of clone3 are behind a pointer, which a filter can't follow. After ENOSYS, C libraries fall back to
      // clone.
      { names: ["clone3"], action: "SCMP_ACT_ERRNO", errnoRet: ENOSYS },
      // The kernel limits aio contexts for the whole machine, so one step could take them from the host's databases.
      // After ENOSYS, databases in sandboxes fall back to threads.
      { names: ["io_setup"], action: "SCMP_ACT_ERRNO", errnoRet: ENOSYS },
      // PER_LINUX and PER_LINUX32, each with and without UNAME26, and the query of the current value.
      ...[0x0, 0x8, 0x20000, 0x20008, 0xffffffff].map((value) => ({
        names: ["personality"],
        action: "SCMP_ACT_ALLOW",
        args: [{ index: 0, value, op: "SCMP_CMP_EQ" }],
      })),
    ],
  };
}

/**
 * Rules for opening sockets. AF_VSOCK and AF_ALG are excluded, because they ignore network namespaces and would reach
 * out of the sandbox. So are rarely used families and protocols, whose modules the kernel would load on demand.
 *
 * There is one rule per value: OCI runtimes treat several conditions on one argument as alternatives, so "not this and
 * not that" would allow everything. Values are compared in 64 bits, while the kernel reads 32. So setting upper bits
 * does not bypass a rule.
 */
function socketRules(): readonly SeccompRule[] {
  const equal = (index: number, value: number) => ({ index, value, op: "SCMP_CMP_EQ" });
  const socket = (...args: NonNullable<SeccompRule["args"]>) => ({ names: ["socket"], action: "SCMP_ACT_ALLOW", args });
  const isRaw = { index: 1, value: 0xf, valueTwo: SOCK_RAW, op: "SCMP_CMP_MASKED_EQ" };
  return [
    socket(equal(0, AF_UNIX)),
    ...[AF_INET, AF_INET6].flatMap((family) => [
      ...internetProtocols.map((protocol) => socket(equal(0, family), equal(2, protocol))),
      // Raw sockets of any protocol. The kernel demands the capability NET_RAW.
      socket(equal(0, family), isRaw),
    ]),
    ...netlinkProtocols.map((protocol) => socket(equal(0, AF_NETLINK), equal(2, protocol))),
    // The kernel demands the capability NET_RAW.
    socket(equal(0, AF_PACKET)),
    // The kernel refuses pairs of other families only after the family's code has run.
    { names: ["socketpair"], action: "SCMP_ACT_ALLOW", args: [equal(0, AF_UNIX)] },
    // socketcall hides its arguments behind a pointer, so refuse it by name. Otherwise libseccomp adds parts of it for
    // the calls that it stands for. The error must differ from the default, because runc drops rules that equal the
    // default. 32-bit C libraries have not needed it since 2015.
    { names: ["socketcall"], action: "SCMP_ACT_ERRNO", errnoRet: ENOSYS },
  ];
}

const architectures: Partial<Record<NodeJS.Architecture, { names: readonly string[]; syscalls: readonly string[] }>> = {
  // Allows 32-bit programs. x32 is excluded: hardly any program uses it, and it has had vulnerabilities of its own.
  x64: { names: ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"], syscalls: ["arch_prctl", "modify_ldt"] },
  arm64: {
    names: ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"],
    syscalls: ["arm_fadvise64_64", "arm_sync_file_range", "sync_file_range2", "breakpoint", "cacheflush", "set_tls"],
  },
  riscv64: { names: ["SCMP_ARCH_RISCV64"], syscalls: ["riscv_flush_icache"] },
};
