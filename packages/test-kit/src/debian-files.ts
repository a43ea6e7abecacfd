import { join } from "node:path";

/** Where the parts of a Debian lie in its directory, and beside it why there are none. */
export function debianFiles(directory: string) {
  return {
    images: join(directory, "images"),
    packages: join(directory, "packages"),
    ready: join(directory, "ready"),
    failure: `${directory}.failed`,
  };
}
