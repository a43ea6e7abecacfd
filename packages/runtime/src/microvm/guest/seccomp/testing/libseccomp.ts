import { closeSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { temporaryDirectory } from "@airlock/test-kit";
import koffi from "koffi";
import type { SeccompProfile } from "../../../../isolation/seccomp-profile.ts";

const architectures: Readonly<Record<string, number>> = { SCMP_ARCH_X86_64: 0xc000003e, SCMP_ARCH_X86: 0x40000003 };
const operations: Readonly<Record<string, number>> = { SCMP_CMP_EQ: 4, SCMP_CMP_MASKED_EQ: 7 };
const EPERM = 1;
const EEXIST = 17;
const unknownCall = -1;

/** The system's libseccomp, which is installed with `crun` and `runc`. */
export interface Libseccomp {
  knows(name: string): boolean;
  /** The program that OCI runtimes give to the kernel for a profile. */
  compile(profile: SeccompProfile): Promise<Buffer>;
}

/** @returns `null` when the system has no libseccomp. */
export function loadLibseccomp(): Libseccomp | null {
  let library: ReturnType<typeof koffi.load>;
  try {
    library = koffi.load("libseccomp.so.2");
  } catch {
    return null;
  }
  const init = library.func("void *seccomp_init(uint32_t action)");
  const release = library.func("void seccomp_release(void *filter)");
  const addArchitecture = library.func("int seccomp_arch_add(void *filter, uint32_t architecture)");
  const resolveName = library.func("int seccomp_syscall_resolve_name(const char *name)");
  const addRule = library.func(
    "int seccomp_rule_add_array(void *filter, uint32_t action, int call, unsigned int count, const void *conditions)",
  );
  const exportBpf = library.func("int seccomp_export_bpf(void *filter, int descriptor)");
  const check = (result: unknown, what: string, ...accepted: number[]) => {
    const code = Number(result);
    if (code < 0 && !accepted.includes(-code)) throw new Error(`libseccomp can't ${what}: error ${-code}`);
  };

  // As runc does it: names that libseccomp doesn't know and rules that equal the default are left out.
  const addRules = (filter: unknown, { syscalls, ...profile }: SeccompProfile) => {
    const otherwise = returnValue(profile.defaultAction, profile.defaultErrnoRet);
    for (const { names, action, errnoRet, args = [] } of syscalls) {
      const value = returnValue(action, errnoRet);
      if (value === otherwise) continue;
      const conditions = Buffer.concat(args.map(encodeCondition));
      for (const name of names) {
        const call = Number(resolveName(name));
        if (call !== unknownCall) check(addRule(filter, value, call, args.length, conditions), `add ${name}`);
      }
    }
  };

  return {
    knows: (name) => Number(resolveName(name)) !== unknownCall,
    async compile(profile) {
      await using directory = await temporaryDirectory();
      const filter: unknown = init(returnValue(profile.defaultAction, profile.defaultErrnoRet));
      try {
        for (const name of profile.architectures) {
          check(addArchitecture(filter, architectures[name]), `add ${name}`, EEXIST);
        }
        addRules(filter, profile);
        const path = join(directory.path, "filter");
        const descriptor = openSync(path, "w");
        check(exportBpf(filter, descriptor), "export the program");
        closeSync(descriptor);
        return readFileSync(path);
      } finally {
        release(filter);
      }
    },
  };
}

function returnValue(action: string, errnoRet = EPERM): number {
  switch (action) {
    case "SCMP_ACT_ALLOW":
      return 0x7fff0000;
    case "SCMP_ACT_LOG":
      return 0x7ffc0000;
    case "SCMP_ACT_ERRNO":
      return 0x00050000 | errnoRet;
    case "SCMP_ACT_TRAP":
      return 0x00030000;
    case "SCMP_ACT_KILL_PROCESS":
      return 0x80000000;
    default:
      throw new Error(`unknown action ${action}`);
  }
}

/** `struct scmp_arg_cmp`. */
function encodeCondition({
  index,
  op,
  value,
  valueTwo = 0,
}: NonNullable<SeccompProfile["syscalls"][number]["args"]>[number]): Buffer {
  const condition = Buffer.alloc(24);
  condition.writeUInt32LE(index, 0);
  condition.writeUInt32LE(operations[op] ?? 0, 4);
  condition.writeBigUInt64LE(BigInt(value), 8);
  condition.writeBigUInt64LE(BigInt(valueTwo), 16);
  return condition;
}
