import { refusedByPolicy } from "./errors.ts";
import type { SandboxPlan } from "./sandbox-plan.ts";

/** Why a runtime that isolates jobs by the host's own kernel offers no Docker daemon. */
export const onlyMachinesHaveDocker =
  "A Docker daemon needs a kernel of its own. Use an executor with EXECUTOR_RUNTIME=microvm, or remove `services` from the job.";

/** @throws {AirlockError} reason `policy` when a plan asks for a Docker daemon and the runtime has a reason not to offer it. */
export function refuseDocker({ docker = false }: Pick<SandboxPlan, "docker">, problem: string | null): void {
  if (docker && problem !== null) throw refusedByPolicy("this executor can't offer `services: docker`", problem);
}
