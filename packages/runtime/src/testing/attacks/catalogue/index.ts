import type { Attack } from "../attack.ts";
import { callTableAttacks } from "./call-tables.ts";
import { exhaustionAttacks } from "./exhaustion.ts";
import { hostSurfaceAttacks } from "./host-surface.ts";
import { imageAttacks } from "./images.ts";
import { kernelAttacks } from "./kernel.ts";
import { kernelObjectAttacks } from "./kernel-objects.ts";
import { networkAttacks } from "./network.ts";
import { sandboxProcessAttacks } from "./sandbox-processes.ts";
import { userLimitAttacks } from "./user-limits.ts";

const noInternet =
  "a cluster's pods are not in the simulated internet; the runtime's own tests try what its policies close";

/** Every attack that a runtime has to withstand. */
export const attacks: readonly Attack[] = [
  ...kernelAttacks,
  ...callTableAttacks,
  ...hostSurfaceAttacks,
  ...sandboxProcessAttacks,
  ...exhaustionAttacks,
  ...kernelObjectAttacks,
  ...userLimitAttacks,
  ...imageAttacks,
  ...networkAttacks.map((attack) => ({ ...attack, notInPods: noInternet })),
];
