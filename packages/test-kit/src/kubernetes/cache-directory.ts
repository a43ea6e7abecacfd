import { homedir } from "node:os";
import { isAbsolute, join } from "node:path";

/** The user's directory for what can be made again. */
export function cacheDirectory(): string {
  const { XDG_CACHE_HOME } = process.env;
  return XDG_CACHE_HOME && isAbsolute(XDG_CACHE_HOME) ? XDG_CACHE_HOME : join(homedir(), ".cache");
}
