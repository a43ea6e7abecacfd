import type { FixtureImage } from "@airlock/test-kit";
import { attackerImage } from "./attacker-image.ts";

/**
 * Prefix of the loader's output files; the loader appends the pid. Such a file on the host shows that a host program
 * used the image's environment.
 */
export const loaderOutput = `/tmp/airlock-attack-loader-${process.pid}`;

/** Hostile images, by the name that attacks use. */
export const hostileImages = {
  /** Runs as an ordinary user. */
  unprivileged: () => attackerImage({ User: "1000:1000" }),
  /** Has a working directory that a leaked file descriptor of the runtime would name. */
  "working-directory": () => attackerImage({ WorkingDir: "/proc/self/fd/8" }),
  /** Has an entrypoint, a command and a health check that must not run. */
  entrypoint: () =>
    attackerImage({
      Entrypoint: ["/bin/sh", "-c", "echo BREACH the entrypoint ran > /data/entrypoint"],
      Cmd: ["/bin/sh", "-c", "echo BREACH the command ran > /data/entrypoint"],
      Healthcheck: {
        Test: ["CMD-SHELL", "echo BREACH the health check ran > /data/entrypoint"],
        Interval: 1_000_000_000,
      },
    }),
  /** Declares volumes at the kernel's file systems and at the engine's socket. */
  volumes: () => attackerImage({ Volumes: { "/proc": {}, "/sys": {}, "/var/run/docker.sock": {}, "/airlock": {} } }),
  /** Has a link in place of `/dev`. */
  "dev-link": () =>
    attackerImage({}, [
      { name: "elsewhere/", type: "directory", mode: 0o755 },
      { name: "dev", type: "symlink", linkname: "/elsewhere" },
    ]),
  /** Has links in place of the directories that are mounted over. */
  "mount-links": () =>
    attackerImage({}, [
      { name: "data", type: "symlink", linkname: "/proc/1/root" },
      { name: "airlock", type: "symlink", linkname: "../../../../../../etc" },
    ]),
  /** Has an environment that makes the loader of every program write a debug file. */
  loader: () => attackerImage({ Env: ["PATH=/bin:/usr/bin", "LD_DEBUG=libs", `LD_DEBUG_OUTPUT=${loaderOutput}`] }),
  /** Runs as a user that has no account in the image. */
  "unknown-user": () => attackerImage({ User: "somebody" }),
  /** Has links to the host's account files in place of its own. */
  "account-links": () =>
    attackerImage({ User: "daemon" }, [
      { name: "etc/passwd", type: "symlink", linkname: "/proc/1/root/etc/passwd" },
      { name: "etc/group", type: "symlink", linkname: "../../../../../../etc/group" },
    ]),
  /** Has an environment of two megabytes. */
  "huge-environment": () =>
    attackerImage({
      Env: ["PATH=/bin:/usr/bin", ...Array.from({ length: 32 }, (_, i) => `FILL_${i}=${"x".repeat(65_536)}`)],
    }),
} as const satisfies Record<string, () => Promise<FixtureImage>>;

export type HostileImageName = keyof typeof hostileImages;
