import { mkdir } from "node:fs/promises";
import { join } from "node:path";

/**
 * Mounts for the volumes that an image declares, below a directory on the sandbox's own bounded file system. The engine
 * can't be told to ignore the declaration, and would keep them elsewhere. As there, each is given what the image has.
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
      // Without a name, so that it goes with its container.
      const driver = { Name: "local", Options: { type: "none", o: "bind", device } };
      return { Type: "volume", Target: path, VolumeOptions: { DriverConfig: driver } };
    }),
  );
}
