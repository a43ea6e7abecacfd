import { join } from "node:path";

/** Paths of the parts of a Debian build in its directory, and of the file beside it that tells why the build failed. */
export function debianFiles(directory: string) {
  return {
    images: join(directory, "images"),
    packages: join(directory, "packages"),
    ready: join(directory, "ready"),
    failure: `${directory}.failed`,
  };
}
