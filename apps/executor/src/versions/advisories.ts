/** A vulnerability in a program that Airlock runs on the host, and the versions that fix it. */
export interface Advisory {
  /** The program's name as in `versionFindings`: `git`, `runc`, `crun`, `runsc`, `docker`. */
  readonly program: string;
  readonly ids: readonly string[];
  /** What an attacker can do, in a few words. */
  readonly danger: string;
  /** The first fixed release of each branch that has one. */
  readonly fixedIn: readonly string[];
}

/** Newest first within a program. */
export const advisories: readonly Advisory[] = [
  {
    program: "git",
    ids: ["CVE-2025-48384"],
    danger: "a submodule's path that ends in a carriage return makes git run a hook of the repository",
    fixedIn: ["2.43.7", "2.44.4", "2.45.4", "2.46.4", "2.47.3", "2.48.2", "2.49.1", "2.50.1"],
  },
  {
    program: "git",
    ids: ["CVE-2024-32002", "CVE-2024-32021", "CVE-2024-32020"],
    danger: "a repository with submodules runs code while it is cloned, and local clones share files with others",
    fixedIn: ["2.39.4", "2.40.2", "2.41.1", "2.42.2", "2.43.4", "2.44.1", "2.45.1"],
  },
  {
    program: "git",
    ids: ["CVE-2022-39253"],
    danger: "a local clone follows symbolic links to files of the machine",
    fixedIn: ["2.30.6", "2.31.5", "2.32.4", "2.33.5", "2.34.5", "2.35.5", "2.36.3", "2.37.4", "2.38.1"],
  },
  {
    program: "runc",
    ids: ["CVE-2026-41579"],
    danger: "an image whose /dev is a symbolic link gets access to the host's files",
    fixedIn: ["1.3.6", "1.4.3", "1.5.0"],
  },
  {
    program: "runc",
    ids: ["CVE-2025-31133", "CVE-2025-52565", "CVE-2025-52881"],
    danger: "a container escapes its sandbox through masked paths, /dev/console and redirected writes",
    fixedIn: ["1.2.8", "1.3.3", "1.4.0-rc.3"],
  },
  {
    program: "runc",
    ids: ["CVE-2024-21626"],
    danger: "a container reaches the machine's files through a leaked file descriptor",
    fixedIn: ["1.1.12"],
  },
  {
    program: "crun",
    ids: ["CVE-2022-27650"],
    danger: "containers start with inheritable capabilities",
    fixedIn: ["1.4.4"],
  },
  {
    // gVisor's advisories name commits instead of releases. This version is the first day after the advisory's
    // publication.
    program: "runsc",
    ids: ["CVE-2025-2713"],
    danger: "files are opened with more rights than their user has",
    fixedIn: ["20250407.0"],
  },
  {
    program: "docker",
    ids: ["CVE-2026-34040"],
    danger: "requests pass the engine's authorization plugins unseen (where such plugins are used)",
    fixedIn: ["29.3.1"],
  },
  {
    program: "docker",
    ids: ["CVE-2024-41110"],
    danger: "requests without a body pass the engine's authorization plugins unseen (where such plugins are used)",
    fixedIn: ["23.0.15", "25.0.6", "26.1.5", "27.1.1"],
  },
];
