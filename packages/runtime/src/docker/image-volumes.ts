import { mkdir } from "node:fs/promises";
import { join } from "node:path";

/**
 * Mounts for the volumes that an image declares, below a directory on the sandbox's size-limited file system. The
 * engine can't ignore the declaration and would otherwise store the volumes elsewhere. As usual, the engine fills each
 * new volume with the image's files.
 */
export async function volumeMounts(
  paths: readonly string[],
  containerName: string,
  layersDir: string,
): Promise<readonly object[]> {
  return await Promise.all(
    paths.map(async (path, index) => {
      const device = join(layersDir, "volumes", containerName, String(index));
      await mkdir(device, { recursive: true, mode: 0o755 });
      // An anonymous volume is removed together with its container.
      const driver = { Name: "local", Options: { type: "none", o: "bind", device } };
      return { Type: "volume", Target: path, VolumeOptions: { DriverConfig: driver } };
    }),
  );
}
