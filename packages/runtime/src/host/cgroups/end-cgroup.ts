import { errorCode } from "../error-code.ts";
import type { Cgroup } from "./cgroup.ts";

/** Kills and removes a cgroup. A process that joined it during the kill is killed in the next round. */
export async function endCgroup(cgroup: Cgroup): Promise<void> {
  for (let round = 1; ; round += 1) {
    await cgroup.kill();
    try {
      await cgroup.remove();
      return;
    } catch (error) {
      if (errorCode(error) !== "EBUSY" || round === 3) throw error;
    }
  }
}
