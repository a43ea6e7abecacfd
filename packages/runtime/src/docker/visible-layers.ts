import { lstat } from "node:fs/promises";
import { errorCode } from "../host/error-code.ts";
import { LayerStack } from "../images/unpack/layer-stack.ts";
import type { EngineClient } from "./engine-client.ts";
import type { ImageReply } from "./engine-replies.ts";

/** Whether this process can read the engine's data, which belong to root of the engine's machine. */
export function seesEngineFiles(engine: EngineClient): boolean {
  return engine.isLocal && process.geteuid?.() === 0;
}

/**
 * The layers of an image on this machine's disk. `undefined` if this process can't see them: the engine is remote or in
 * another mount namespace, or its storage driver has no layer directories.
 */
export async function visibleLayers(
  engine: EngineClient,
  { GraphDriver }: Pick<ImageReply, "GraphDriver">,
): Promise<LayerStack | undefined> {
  const { UpperDir, LowerDir = "" } = GraphDriver?.Data ?? {};
  if (GraphDriver?.Name !== "overlay2" || UpperDir === undefined || !seesEngineFiles(engine)) return undefined;
  const directories = [UpperDir, ...LowerDir.split(":").filter((directory) => directory !== "")];
  const there = await Promise.all(directories.map(isThere));
  return there.every(Boolean) ? new LayerStack(directories) : undefined;
}

async function isThere(directory: string): Promise<boolean> {
  try {
    return (await lstat(directory)).isDirectory();
  } catch (error) {
    if (["ENOENT", "EACCES", "ENOTDIR"].includes(errorCode(error) ?? "")) return false;
    throw error;
  }
}
