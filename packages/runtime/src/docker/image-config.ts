import { posix } from "node:path";
import { imageInvalid } from "../contract/index.ts";
import type { ImageReply } from "./engine-replies.ts";

/** Where a container meets the host's kernel, and where our own mounts are: no place for an image's wishes. */
const reserved = ["/proc", "/sys", "/dev", "/data", "/airlock"];

/**
 * Refuses an image whose configuration reaches for the host (CVE-2024-21626: a working directory below
 * `/proc/self/fd`). Entrypoint, command, health check, ports and labels are never used.
 * @throws {AirlockError} reason `image-invalid`.
 */
export function checkImageConfig(image: string, { Config }: ImageReply): void {
  const workingDir = Config?.WorkingDir ?? "";
  if (workingDir !== "" && isReserved(workingDir)) {
    throw imageInvalid(image, `has the working directory ${JSON.stringify(workingDir)}, which is not allowed`);
  }
  for (const volume of Object.keys(Config?.Volumes ?? {})) {
    if (isReserved(volume) || posix.normalize(volume) === "/") {
      throw imageInvalid(image, `declares the volume ${JSON.stringify(volume)}, which is not allowed`);
    }
  }
}

function isReserved(path: string): boolean {
  const absolute = posix.join("/", path);
  return reserved.some((each) => absolute === each || absolute.startsWith(`${each}/`));
}
