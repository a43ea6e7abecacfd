import { allowedCalls } from "./allowed-calls.ts";

/** The `linux.seccomp` object of an OCI bundle. */
export interface SeccompProfile {
  readonly defaultAction: string;
  readonly defaultErrnoRet: number;
  readonly architectures: readonly string[];
  readonly syscalls: readonly SeccompRule[];
}

interface SeccompRule {
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

/** IP (the default of the type), ICMP, TCP, UDP, ICMPv6, raw, MPTCP. */
const internetProtocols = [0, 1, 6, 17, 58, 255, 262];

/** ROUTE, SOCK_DIAG, XFRM, AUDIT, NETFILTER, KOBJECT_UEVENT, GENERIC. Of these, what changes something asks for a capability. */
const netlinkProtocols = [0, 4, 6, 9, 12, 15, 16];

/** CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID and NEWNET of clone(2). */
const cloneNamespaceFlags = 0x7e020000;

/**
 * What steps may ask of the kernel. What is not named is refused with EPERM: mount and namespace calls, bpf, ptrace and
 * process_vm_*, keyrings, io_uring, libaio, userfaultfd, perf_event_open, open_by_handle_at, kexec, modules, clocks, swap,
 * quota, and every call that a future kernel adds.
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
      // Its flags are behind a pointer, out of a filter's sight; with ENOSYS the C libraries fall back to clone.
      { names: ["clone3"], action: "SCMP_ACT_ERRNO", errnoRet: ENOSYS },
      // Its contexts are counted for the machine as a whole: one step could take them from the host's databases. With ENOSYS
      // those in sandboxes fall back to threads.
      { names: ["io_setup"], action: "SCMP_ACT_ERRNO", errnoRet: ENOSYS },
      // PER_LINUX, PER_LINUX32, both with UNAME26, and the question what it is.
      ...[0x0, 0x8, 0x20000, 0x20008, 0xffffffff].map((value) => ({
        names: ["personality"],
        action: "SCMP_ACT_ALLOW",
        args: [{ index: 0, value, op: "SCMP_CMP_EQ" }],
      })),
    ],
  };
}

/**
 * Which sockets may be opened. Not AF_VSOCK and AF_ALG, which know no network namespaces and would reach past the sandbox,
 * nor families and protocols that hardly anything uses: the kernel would load their modules on demand.
 *
 * One rule per value: OCI runtimes make conditions on the same argument alternatives, so "not this and not that" lets
 * everything through. Values are compared in 64 bits, of which the kernel reads 32, so that upper bits hide nothing.
 */
function socketRules(): readonly SeccompRule[] {
  const equal = (index: number, value: number) => ({ index, value, op: "SCMP_CMP_EQ" });
  const socket = (...args: NonNullable<SeccompRule["args"]>) => ({ names: ["socket"], action: "SCMP_ACT_ALLOW", args });
  const isRaw = { index: 1, value: 0xf, valueTwo: SOCK_RAW, op: "SCMP_CMP_MASKED_EQ" };
  return [
    socket(equal(0, AF_UNIX)),
    ...[AF_INET, AF_INET6].flatMap((family) => [
      ...internetProtocols.map((protocol) => socket(equal(0, family), equal(2, protocol))),
      // Any protocol, for who has the capability NET_RAW.
      socket(equal(0, family), isRaw),
    ]),
    ...netlinkProtocols.map((protocol) => socket(equal(0, AF_NETLINK), equal(2, protocol))),
    // Asks for the capability NET_RAW.
    socket(equal(0, AF_PACKET)),
    // A pair of another family is refused only after the family's code has run.
    { names: ["socketpair"], action: "SCMP_ACT_ALLOW", args: [equal(0, AF_UNIX)] },
    // Hides the arguments behind a pointer. libseccomp adds parts of it where it is told of the calls that it stands for, so
    // it has to be refused by name, and by another error than the default, since runc drops rules that say the default.
    // 32-bit C libraries since 2015 do without it.
    { names: ["socketcall"], action: "SCMP_ACT_ERRNO", errnoRet: ENOSYS },
  ];
}

const architectures: Partial<Record<NodeJS.Architecture, { names: readonly string[]; syscalls: readonly string[] }>> = {
  // 32-bit programs run too; not x32, which nothing uses and which has had holes of its own.
  x64: { names: ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"], syscalls: ["arch_prctl", "modify_ldt"] },
  arm64: {
    names: ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"],
    syscalls: ["arm_fadvise64_64", "arm_sync_file_range", "sync_file_range2", "breakpoint", "cacheflush", "set_tls"],
  },
  riscv64: { names: ["SCMP_ARCH_RISCV64"], syscalls: ["riscv_flush_icache"] },
};
