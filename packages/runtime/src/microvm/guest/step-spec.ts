import { type EtcFiles, etcNames } from "../../isolation/etc-files.ts";
import { PayloadWriter } from "./payload-writer.ts";

/** What the agent runs as one step. The agent refuses specifications of more than {@link maxSpecBytes}. */
export interface GuestStep {
  /** Index of the mounted image disk, 0 to 25. */
  readonly image: number;
  /** The first is the absolute path of the program in the image. At most 4096. */
  readonly argv: readonly [string, ...string[]];
  /** At most 196,608 variables. */
  readonly env: Readonly<Record<string, string>>;
  /** Absolute. Created by the step's user if it does not exist. */
  readonly workingDirectory: string;
  readonly uid: number;
  readonly gid: number;
  /** At most 1024. */
  readonly groups: readonly number[];
  readonly hostname: string;
  /** Numbers of the capabilities that root of the step has, 0 to 63. Other users have none. */
  readonly capabilities: readonly number[];
  readonly noNewPrivileges: boolean;
  /** Whether the step has a network namespace with only a loopback device, instead of the guest's network. */
  readonly ownNetwork: boolean;
  readonly readOnlyRoot: boolean;
  readonly userNamespace: boolean;
  readonly readOnlySys: boolean;
  /** Paths below `/proc` and `/sys` that the step can't read. The agent ignores what its kernel lacks. At most 64. */
  readonly maskedPaths: readonly string[];
  /** Paths below `/proc` and `/sys` that the step can't change. At most 64. */
  readonly readOnlyPaths: readonly string[];
  /** Files of `/etc` that replace those of the image. At most 65,536 bytes each. */
  readonly etc: Partial<EtcFiles>;
  /** Directories that the image lacks, parents first. At most 1024. */
  readonly directories: readonly GuestDirectory[];
  /** Ports of 127.0.0.1 that the host answers with `GuestConnection.serve`. At most 8. */
  readonly ports: readonly number[];
  /**
   * A classic BPF program as the kernel takes it, from `guestStepFilter`: 8 bytes per instruction, at most 4096. `null`:
   * no filter.
   */
  readonly seccompFilter: Buffer | null;
  /** Resource limits by the kernel's number (`RLIMIT_…`), 0 to 15. */
  readonly limits: readonly { readonly resource: number; readonly soft: bigint; readonly hard: bigint }[];
  /** Limits of the step's cgroup. 0: no limit. */
  readonly memoryBytes: number;
  readonly pids: number;
  /** Microseconds of CPU time per 100 ms. 0: no limit. */
  readonly cpuMicros: number;
  readonly shmBytes: number;
  /**
   * Size of the tmpfs that receives what the step writes outside its workspace. It counts as the step's memory. `null`:
   * the workspace disk receives it, and the agent removes it after the step.
   */
  readonly upperBytes: number | null;
  /** Whether the step finds the socket and the client of the guest's Docker daemon below `/airlock`. */
  readonly docker: boolean;
  /** Whether the step does not see the workspace, which need not be mounted. Default: false. */
  readonly withoutWorkspace?: boolean;
}

interface GuestDirectory {
  /** Relative to the step's root. No links are followed. */
  readonly path: Buffer;
  /** Permission bits, 0 to 0o7777. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
}

/** Largest specification that the agent takes: 2 MiB for the variables of the step and its image, and 1 MiB. */
export const maxSpecBytes = 3_145_728;

/** Encodes a step as fields of a tag, a length of 4 bytes, and the value. */
export function encodeStep(step: GuestStep): Buffer {
  const spec = new PayloadWriter();
  const field = (tag: number, value: Buffer) => spec.uint8(tag).uint32(value.length).bytes(value);
  const number = (tag: number, value: number | bigint) => field(tag, new PayloadWriter().uint64(value).toBuffer());
  field(1, new PayloadWriter().uint8(step.image).toBuffer());
  for (const argument of step.argv) field(2, Buffer.from(argument));
  for (const [name, value] of Object.entries(step.env)) field(3, Buffer.from(`${name}=${value}`));
  field(4, Buffer.from(step.workingDirectory));
  field(5, new PayloadWriter().uint32(step.uid).uint32(step.gid).toBuffer());
  for (const group of step.groups) field(6, new PayloadWriter().uint32(group).toBuffer());
  field(7, Buffer.from(step.hostname));
  number(
    8,
    step.capabilities.reduce((mask, capability) => mask | (1n << BigInt(capability)), 0n),
  );
  const flags = [
    step.noNewPrivileges,
    step.ownNetwork,
    step.readOnlyRoot,
    step.userNamespace,
    step.readOnlySys,
    step.upperBytes === null,
    step.docker,
    step.withoutWorkspace ?? false,
  ];
  const flagBits = flags.reduce((bits, isSet, index) => (isSet ? bits | (1 << index) : bits), 0);
  field(9, new PayloadWriter().uint32(flagBits).toBuffer());
  if (step.seccompFilter) field(10, step.seccompFilter);
  for (const { resource, soft, hard } of step.limits) {
    field(11, new PayloadWriter().uint8(resource).uint64(soft).uint64(hard).toBuffer());
  }
  number(12, step.memoryBytes);
  number(13, step.pids);
  number(14, step.cpuMicros);
  number(15, step.shmBytes);
  if (step.upperBytes !== null) number(16, step.upperBytes);
  for (const [which, name] of etcNames.entries()) {
    const text = step.etc[name];
    if (text !== undefined) field(17, new PayloadWriter().uint8(which).bytes(Buffer.from(text)).toBuffer());
  }
  for (const { path, mode, uid, gid } of step.directories) {
    field(18, new PayloadWriter().uint16(mode).uint32(uid).uint32(gid).bytes(path).toBuffer());
  }
  for (const path of step.maskedPaths) field(19, Buffer.from(path));
  for (const path of step.readOnlyPaths) field(20, Buffer.from(path));
  for (const port of step.ports) field(21, new PayloadWriter().uint16(port).toBuffer());
  return spec.toBuffer();
}
