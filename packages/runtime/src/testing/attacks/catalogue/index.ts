import type { Attack } from "../attack.ts";
import { exhaustionAttacks } from "./exhaustion.ts";
import { hostSurfaceAttacks } from "./host-surface.ts";
import { imageAttacks } from "./images.ts";
import { kernelAttacks } from "./kernel.ts";
import { networkAttacks } from "./network.ts";

/** Every attack that a runtime has to withstand. */
export const attacks: readonly Attack[] = [
  ...kernelAttacks,
  ...hostSurfaceAttacks,
  ...exhaustionAttacks,
  ...imageAttacks,
  ...networkAttacks,
];
