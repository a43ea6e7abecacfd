import { stat } from "node:fs/promises";
import { errorCode } from "../../../host/error-code.ts";

const device = "/dev/kvm";

/** Whether machines can open `/dev/kvm`. That they can does not prove that KVM works. */
export type KvmAccess =
  /** `group`: the group that a machine's user needs for it. `null`: none. */
  { readonly group: number | null } | { readonly problem: string };

/** Finds out how a process without privileges can open `/dev/kvm`. */
export async function findKvmAccess(path = device): Promise<KvmAccess> {
  try {
    const { mode, gid } = await stat(path);
    if ((mode & 0o006) === 0o006) return { group: null };
    // The group of root owns far more than this device.
    if ((mode & 0o060) === 0o060 && gid !== 0) return { group: gid };
    return { problem: `no group but root's may open ${path}; allow it: chgrp kvm ${path} && chmod 660 ${path}` };
  } catch (error) {
    const code = errorCode(error);
    if (code !== "ENOENT") return { problem: `${path} can't be examined (${code})` };
    return { problem: `${path} does not exist, because this machine has no hardware virtualization or no module kvm` };
  }
}
