import { join } from "node:path";
import type { Config } from "../config/options.ts";

/** Directory of the runtime's state, for commands that work while no executor runs. */
export function runtimeDir(config: Config): string {
  return join(config.dataDir, "runtime");
}

/** Directory with the files of virtual machines' guests, which `executor install microvm` makes. */
export function guestDir(dataDir: string): string {
  return join(dataDir, "guest");
}
