import { access, readdir, readFile } from "node:fs/promises";
import { basename, dirname } from "node:path";
import type { Attack, Weakened } from "../attack.ts";
import { loaderOutput } from "../hostile-images.ts";

const never: Weakened = { cannotBeShown: "no setting gives images this control" };

const exists = (path: string) =>
  access(path).then(
    () => true,
    () => false,
  );

/** Attacks through an image's configuration and files. */
export const imageAttacks: readonly Attack[] = [
  {
    id: "image-working-directory",
    does: "has a working directory in its image that names a leaked file descriptor of the runtime",
    defence: "Airlock ignores the image's working directory",
    image: "working-directory",
    endIsHeld: true,
    script: `cd / && case $(pwd -P) in /proc/*) echo BREACH $(pwd -P);; *) ls -d ./var/lib/dpkg/status >/dev/null 2>&1 && echo BREACH the host || echo HELD $(pwd -P);; esac\n`,
    weakened: never,
  },
  {
    id: "image-entrypoint",
    does: "has an image with an entrypoint, a command and a health check to run",
    defence: "only the step's shell and the init are started",
    image: "entrypoint",
    script: "sleep 2; ls /data; echo waited\n",
    expects: "waited",
    inspect: async ({ sandbox }) => {
      const signal = AbortSignal.timeout(10_000);
      const written = await sandbox.readFile("entrypoint", { maximumBytes: 1000, signal });
      return written?.toString() ?? null;
    },
    weakened: never,
  },
  {
    id: "image-volumes",
    does: "has an image with volumes over the kernel's file systems",
    defence: "Airlock does not mount volumes there",
    image: "volumes",
    script: `if [ -e /proc/self/status ] && [ -d /sys/class ] && ! echo x >> /airlock/attack 2>/dev/null; then echo HELD all in place; else echo BREACH a volume took the place; fi\n`,
    endIsHeld: true,
    weakened: never,
  },
  {
    id: "image-dev-link",
    does: "has an image where /dev is a symbolic link",
    defence: "mount points are resolved inside the image's root",
    image: "dev-link",
    script: "ls -l /dev/ /elsewhere; echo looked\n",
    expects: "looked",
    endIsHeld: true,
    inspect: async () => ((await exists("/elsewhere")) ? "the link was followed on the host" : null),
    weakened: never,
  },
  {
    id: "image-mount-links",
    does: "has an image where the workspace's mount point is a symbolic link",
    defence: "mount points are resolved inside the image's root",
    image: "mount-links",
    script: `echo x > /data/here; echo done\n`,
    expects: "done",
    endIsHeld: true,
    inspect: async () => readFile("/etc/here", "utf8").catch(() => null),
    weakened: never,
  },
  {
    id: "image-loader",
    does: "has an image with variables that control the dynamic loader of the host's programs",
    defence: "only the step gets the image's environment",
    image: "loader",
    script: `perl -e 'print "inside\n"'; ls ${loaderOutput}.* && echo the loader obeys inside\n`,
    expects: "the loader obeys inside",
    inspect: async () => {
      const written = (await readdir(dirname(loaderOutput))).filter((name) => name.startsWith(basename(loaderOutput)));
      return written.length > 0 ? `a program of the host wrote ${written.join(", ")}` : null;
    },
    weakened: never,
  },
  {
    id: "image-unknown-user",
    does: "has an image with a user that does not exist, in order to run as root",
    defence: "Airlock refuses the image",
    image: "unknown-user",
    script: `[ "$(id -u)" = 0 ] && echo BREACH it is root || echo "HELD it is $(id -u)"\n`,
    endIsHeld: true,
    weakened: never,
  },
  {
    id: "image-account-links",
    does: "has an image whose account files are links to the host's, in order to run as a host user",
    defence: "account files are read only inside the image's root; Airlock refuses the image",
    image: "account-links",
    script: `grep -q systemd /etc/passwd /etc/group 2>/dev/null && echo BREACH the accounts of the host; [ "$(id -u)" = 1 ] && echo BREACH it runs as a user of the host || echo "HELD it is $(id -u)"\n`,
    endIsHeld: true,
    weakened: never,
  },
  {
    id: "image-huge-environment",
    does: "has an image with an environment of 2 MB",
    defence: "the step runs or is refused, without hanging",
    image: "huge-environment",
    script: "echo HELD the step ran\n",
    expects: "list too long",
    endIsHeld: true,
    inspect: async ({ status }) => (status instanceof Error && status.name === "TimeoutError" ? "the step hung" : null),
    weakened: never,
  },
];
