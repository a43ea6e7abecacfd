import type { Attack } from "../attack.ts";
import { kernelAttacks } from "./kernel.ts";

/** Every attack that a runtime has to withstand. */
export const attacks: readonly Attack[] = [...kernelAttacks];
