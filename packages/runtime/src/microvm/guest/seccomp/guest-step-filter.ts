import { type SeccompProfile, seccompProfile } from "../../../isolation/seccomp-profile.ts";
import { compileSeccompProfile } from "./compile-seccomp-profile.ts";

/** Linux's `process.arch` of guests for which there is a table of system calls. */
export type GuestCpu = "x64";

const AF_VSOCK = 40;
const ENOSYS = 38;
const EPERM = 1;

/**
 * The system call filter of a step in a guest. With `allowListed` only listed calls work, as on the other runtimes.
 * Sockets of AF_VSOCK are refused in any case: a step could reach the host through them.
 * @returns what `GuestStep.seccompFilter` takes.
 */
export function guestStepFilter({ cpu, allowListed }: { cpu: GuestCpu; allowListed: boolean }): Buffer {
  return compileSeccompProfile(allowListed ? seccompProfile(cpu) : profileWithoutVsock(cpu));
}

/** Allows every call of the architecture's tables, except those that can open a socket of AF_VSOCK. */
export function profileWithoutVsock(cpu: GuestCpu): SeccompProfile {
  // The kernel reads the lower 32 bits of the family.
  const isVsock = { index: 0, value: 0xffffffff, valueTwo: AF_VSOCK, op: "SCMP_CMP_MASKED_EQ" };
  return {
    defaultAction: "SCMP_ACT_ALLOW",
    architectures: seccompProfile(cpu).architectures,
    syscalls: [
      { names: ["socket", "socketpair"], action: "SCMP_ACT_ERRNO", errnoRet: EPERM, args: [isVsock] },
      // Passes the family behind a pointer, which a filter can't follow.
      { names: ["socketcall"], action: "SCMP_ACT_ERRNO", errnoRet: ENOSYS },
      // IORING_OP_SOCKET opens sockets, and filters don't see the operations of a ring.
      { names: ["io_uring_setup"], action: "SCMP_ACT_ERRNO", errnoRet: EPERM },
    ],
  };
}
