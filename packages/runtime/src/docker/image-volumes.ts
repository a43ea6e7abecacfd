import { mkdir } from "node:fs/promises";
import { join } from "node:path";

/**
 * Where what an image declares as a volume is kept. The engine can't be told to ignore the declaration, and would put it
 * outside the container's layer:
 * - `layers`: on the sandbox's own bounded file system
 * - `watched`: where the engine likes, for a watcher that finds it there
 * - `memory`: in memory, bounded by the sandbox's limit of it
 */
export type VolumeKeeping =
  | { readonly kind: "layers"; readonly layersDir: string }
  | { readonly kind: "watched" }
  | { readonly kind: "memory"; readonly bytes: number };

/** Mounts for the volumes that the image declares. Each is given what the image has there, as the engine does. */
export async function volumeMounts(
  paths: readonly string[],
  containerName: string,
  keeping: VolumeKeeping,
): Promise<readonly object[]> {
  switch (keeping.kind) {
    case "watched":
      return [];
    case "memory":
      return paths.map((path) => localVolume(path, { type: "tmpfs", device: "tmpfs", o: `size=${keeping.bytes}` }));
    case "layers":
      return await Promise.all(
        paths.map(async (path, index) => {
          const device = join(keeping.layersDir, "volumes", containerName, String(index));
          await mkdir(device, { recursive: true, mode: 0o755 });
          return localVolume(path, { type: "none", device, o: "bind" });
        }),
      );
  }
}

/** One without a name, so that it goes with its container. */
function localVolume(path: string, options: Readonly<Record<string, string>>): object {
  return { Type: "volume", Target: path, VolumeOptions: { DriverConfig: { Name: "local", Options: options } } };
}
