import type { FixtureImage } from "@airlock/test-kit";
import { attackerImage } from "./attacker-image.ts";

/** What the loader puts the number of the process behind; seen on the host when a program of the host was meant. */
export const loaderOutput = `/tmp/airlock-attack-loader-${process.pid}`;

/** Images with something hostile in them, by the name that attacks call them. */
export const hostileImages = {
  /** Wants to run as an ordinary user. */
  unprivileged: () => attackerImage({ User: "1000:1000" }),
  /** Wants to start in a directory that a leaked file descriptor of the runtime names. */
  "working-directory": () => attackerImage({ WorkingDir: "/proc/self/fd/8" }),
  /** Wants its own program to run before, or instead of, the step's shell. */
  entrypoint: () =>
    attackerImage({
      Entrypoint: ["/bin/sh", "-c", "echo BREACH the entrypoint ran > /data/entrypoint"],
      Cmd: ["/bin/sh", "-c", "echo BREACH the command ran > /data/entrypoint"],
      Healthcheck: {
        Test: ["CMD-SHELL", "echo BREACH the health check ran > /data/entrypoint"],
        Interval: 1_000_000_000,
      },
    }),
  /** Declares volumes where the kernel's file systems and the engine's socket are. */
  volumes: () => attackerImage({ Volumes: { "/proc": {}, "/sys": {}, "/var/run/docker.sock": {}, "/airlock": {} } }),
  /** Has a link in place of `/dev`, and one in place of a device. */
  "dev-link": () =>
    attackerImage({}, [
      { name: "elsewhere/", type: "directory", mode: 0o755 },
      { name: "dev", type: "symlink", linkname: "/elsewhere" },
    ]),
  /** Has links in place of the directories that get mounts. */
  "mount-links": () =>
    attackerImage({}, [
      { name: "data", type: "symlink", linkname: "/proc/1/root" },
      { name: "airlock", type: "symlink", linkname: "../../../../../../etc" },
    ]),
  /** Has the loader of every program that gets this environment write what it does. */
  loader: () => attackerImage({ Env: ["PATH=/bin:/usr/bin", "LD_DEBUG=libs", `LD_DEBUG_OUTPUT=${loaderOutput}`] }),
  /** Wants to run as a user that it has no account of. */
  "unknown-user": () => attackerImage({ User: "somebody" }),
  /** Has links to the host's accounts in place of its own. */
  "account-links": () =>
    attackerImage({ User: "daemon" }, [
      { name: "etc/passwd", type: "symlink", linkname: "/proc/1/root/etc/passwd" },
      { name: "etc/group", type: "symlink", linkname: "../../../../../../etc/group" },
    ]),
  /** Has two megabytes of environment. */
  "huge-environment": () =>
    attackerImage({
      Env: ["PATH=/bin:/usr/bin", ...Array.from({ length: 32 }, (_, i) => `FILL_${i}=${"x".repeat(65_536)}`)],
    }),
} as const satisfies Record<string, () => Promise<FixtureImage>>;

export type HostileImageName = keyof typeof hostileImages;
