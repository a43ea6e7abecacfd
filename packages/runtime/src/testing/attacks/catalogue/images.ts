import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Attack, Weakened } from "../attack.ts";

const never: Weakened = { cannotBeShown: "no setting lets an image decide" };

/** What an image asks for without being asked. */
export const imageAttacks: readonly Attack[] = [
  {
    id: "image-working-directory",
    does: "starts in a directory that a leaked descriptor of the runtime names",
    defence: "the image's working directory is not used",
    image: "working-directory",
    endIsHeld: true,
    script: `cd / && case $(pwd -P) in /proc/*) echo BREACH $(pwd -P);; *) ls -d ./var/lib/dpkg/status >/dev/null 2>&1 && echo BREACH the host || echo HELD $(pwd -P);; esac\n`,
    weakened: never,
  },
  {
    id: "image-entrypoint",
    does: "has its image's entrypoint, command and health check run",
    defence: "only the step's shell and the init run",
    image: "entrypoint",
    script: "sleep 2; ls /data; echo waited\n",
    expects: "waited",
    inspect: async ({ workspaceDir }) => readFile(join(workspaceDir, "entrypoint"), "utf8").catch(() => null),
    weakened: never,
  },
  {
    id: "image-volumes",
    does: "has volumes of its image mounted over the kernel's file systems",
    defence: "volumes of images are not mounted there",
    image: "volumes",
    script: `if [ -e /proc/self/status ] && [ -d /sys/class ] && ! echo x >> /airlock/attack 2>/dev/null; then echo HELD all in place; else echo BREACH a volume took the place; fi\n`,
    endIsHeld: true,
    weakened: never,
  },
  {
    id: "image-dev-link",
    does: "has devices made where a link in its image points",
    defence: "mounts resolve inside the image's root",
    image: "dev-link",
    script: `[ -c /dev/null ] && echo HELD devices are inside || echo HELD there are none\n`,
    endIsHeld: true,
    weakened: never,
  },
  {
    id: "image-mount-links",
    does: "has the workspace mounted where a link in its image points",
    defence: "mounts resolve inside the image's root",
    image: "mount-links",
    script: `echo x > /data/here; echo done\n`,
    expects: "done",
    endIsHeld: true,
    inspect: async () => readFile("/etc/here", "utf8").catch(() => null),
    weakened: never,
  },
  {
    id: "image-preload",
    does: "has a library of its image loaded into the runtime",
    defence: "the image's environment reaches only the step",
    image: "preload",
    script: `unset LD_PRELOAD; echo HELD the step ran\n`,
    endIsHeld: true,
    weakened: never,
  },
  {
    id: "image-unknown-user",
    does: "is root because its image names a user that does not exist",
    defence: "such an image is refused",
    image: "unknown-user",
    script: `[ "$(id -u)" = 0 ] && echo BREACH it is root || echo "HELD it is $(id -u)"\n`,
    endIsHeld: true,
    weakened: never,
  },
  {
    id: "image-huge-environment",
    does: "has an image with an environment of two megabytes",
    defence: "it runs or is refused; nothing hangs",
    image: "huge-environment",
    script: "echo HELD the step ran\n",
    expects: "list too long",
    endIsHeld: true,
    inspect: async ({ status }) => (status instanceof Error && status.name === "TimeoutError" ? "the step hung" : null),
    weakened: never,
  },
];
