import type { SeccompProfile, SeccompRule } from "../../../isolation/seccomp-profile.ts";
import { argumentsMatch } from "./argument-tests.ts";
import { assembleBpf, type BpfNode } from "./bpf-program.ts";
import { searchTree } from "./search-tree.ts";
import { x86_64Calls } from "./x86-64-calls.ts";
import { x86Calls } from "./x86-calls.ts";

interface Architecture {
  /** The kernel's AUDIT_ARCH_… */
  readonly token: number;
  readonly argumentBits: 32 | 64;
  readonly calls: Readonly<Record<string, number>>;
  /** Numbers from here on belong to another call table with the same token. */
  readonly firstForeignNumber?: number;
}

const x32Bit = 0x40000000;

/** By the names of OCI profiles. */
const architectures: Readonly<Record<string, Architecture>> = {
  SCMP_ARCH_X86_64: { token: 0xc000003e, argumentBits: 64, calls: x86_64Calls, firstForeignNumber: x32Bit },
  SCMP_ARCH_X86: { token: 0x40000003, argumentBits: 32, calls: x86Calls },
};

/** Offsets in `struct seccomp_data`. */
const numberOffset = 0;
const architectureOffset = 4;

/** A tracer sets the number of a call to -1 to skip it. The filter then runs once more, and must not kill. */
const skippedCall = 0xffffffff;

const EPERM = 1;

/** The kernel's SECCOMP_RET_… by the names of OCI profiles. */
const returnValues: Readonly<Record<string, number>> = {
  SCMP_ACT_ALLOW: 0x7fff0000,
  SCMP_ACT_LOG: 0x7ffc0000,
  SCMP_ACT_ERRNO: 0x00050000,
  SCMP_ACT_TRAP: 0x00030000,
  SCMP_ACT_KILL: 0x00000000,
  SCMP_ACT_KILL_THREAD: 0x00000000,
  SCMP_ACT_KILL_PROCESS: 0x80000000,
};

/**
 * Compiles an OCI seccomp profile to the classic BPF program that the guest agent installs. The program decides like
 * the one that OCI runtimes get from libseccomp for the same profile:
 *
 * - Names that an architecture doesn't have are ignored there.
 * - Several rules for one call are alternatives.
 * - A thread that makes a call of another architecture, or of x32, is killed.
 *
 * @throws {RangeError} when the profile uses what this compiler doesn't support, or its program would be too long.
 */
export function compileSeccompProfile(profile: SeccompProfile): Buffer {
  if (profile.architectures.length === 0) throw new RangeError("the seccomp profile names no architecture");
  const returns = new Map<number, BpfNode>();
  const action = (name: string, errnoRet: number | undefined): BpfNode => {
    const value = returnValues[name];
    if (value === undefined) throw new RangeError(`the seccomp profile has the unsupported action ${name}`);
    return shared(returns, name === "SCMP_ACT_ERRNO" ? value | (errnoRet ?? EPERM) : value);
  };
  const otherwise = action(profile.defaultAction, profile.defaultErrnoRet);
  const kill = action("SCMP_ACT_KILL_THREAD", undefined);
  const start = profile.architectures.reduceRight<BpfNode>((next, name) => {
    const architecture = architectures[name];
    if (!architecture) throw new RangeError(`there is no table of system calls for the architecture ${name}`);
    const decideCall: BpfNode = {
      kind: "load",
      offset: numberOffset,
      next: decideNumber(architecture, decisions(profile.syscalls, architecture, action, otherwise), otherwise, kill),
    };
    return { kind: "test", test: "equal", value: architecture.token, ifTrue: decideCall, ifFalse: next };
  }, kill);
  return assembleBpf({ kind: "load", offset: architectureOffset, next: start });
}

/** One node per action, so that the assembler can share it. */
function shared(returns: Map<number, BpfNode>, value: number): BpfNode {
  const known = returns.get(value);
  if (known) return known;
  const node: BpfNode = { kind: "return", value };
  returns.set(value, node);
  return node;
}

function decideNumber(
  { firstForeignNumber }: Architecture,
  byNumber: ReadonlyMap<number, BpfNode>,
  otherwise: BpfNode,
  kill: BpfNode,
): BpfNode {
  const tree = searchTree(byNumber, otherwise);
  if (firstForeignNumber === undefined) return tree;
  const skip: BpfNode = { kind: "test", test: "equal", value: skippedCall, ifTrue: otherwise, ifFalse: kill };
  return { kind: "test", test: "at-least", value: firstForeignNumber, ifTrue: skip, ifFalse: tree };
}

/** What to do for the numbers that a rule names. */
function decisions(
  rules: readonly SeccompRule[],
  { calls, argumentBits }: Architecture,
  action: (name: string, errnoRet: number | undefined) => BpfNode,
  otherwise: BpfNode,
): ReadonlyMap<number, BpfNode> {
  const actions = new Map<string, BpfNode>();
  const byNumber = new Map<number, BpfNode>();
  // From the last rule to the first, because each one falls through to the next alternative.
  for (const rule of rules.toReversed()) {
    const then = action(rule.action, rule.errnoRet);
    for (const name of rule.names) {
      // Rules with different actions would need a precedence, for which libseccomp has rules of its own.
      if ((actions.get(name) ?? then) !== then) {
        throw new RangeError(`the seccomp profile has rules with different actions for the system call ${name}`);
      }
      actions.set(name, then);
      const number = calls[name];
      if (number === undefined) continue;
      const orElse = byNumber.get(number) ?? otherwise;
      byNumber.set(number, argumentsMatch(rule.args ?? [], argumentBits, then, orElse));
    }
  }
  return byNumber;
}
