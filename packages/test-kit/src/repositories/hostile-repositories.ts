import { type FixtureRepository, makeRepository, type RepositoryFile } from "./make-repository.ts";

const someCommit = "1234567890123456789012345678901234567890";
const readme: RepositoryFile = { path: "README.md", content: "# Hostile\n" };
const submodule = (name: string, path: string, url: string) =>
  `[submodule "${name}"]\n\tpath = ${path}\n\turl = ${url}\n`;

/** Trees that a hostile or careless author may push. Each is a valid repository with one commit on `main`. */
const trees = {
  submodules: [
    { path: ".gitmodules", content: submodule("lib", "lib", "https://example.invalid/lib.git") },
    { path: "lib", content: someCommit, kind: "submodule" },
  ],
  /** Submodules: one whose URL is an option, one whose name leaves the git directory, one whose path ends in CR. */
  "submodule-injection": [
    {
      path: ".gitmodules",
      content:
        submodule("option", "option", "-u./payload") +
        submodule("../../x", "leaving", "ext::sh -c touch% /tmp/airlock-owned") +
        submodule("cr", '"cr\\r"', "./"),
    },
    { path: "option", content: someCommit, kind: "submodule" },
    { path: "leaving", content: someCommit, kind: "submodule" },
    { path: "payload", content: "#!/bin/sh\ntouch /tmp/airlock-owned\n", kind: "executable" },
  ],
  "lfs-pointers": [
    { path: ".gitattributes", content: "*.bin filter=lfs diff=lfs merge=lfs -text\n" },
    { path: ".lfsconfig", content: "[lfs]\n\turl = http://169.254.169.254/lfs\n" },
    {
      path: "large.bin",
      content: `version https://git-lfs.github.com/spec/v1\noid sha256:${"0".repeat(64)}\nsize 4294967296\n`,
    },
  ],
  "leaving-symlinks": [
    { path: "passwd", content: "/etc/passwd", kind: "symlink" },
    { path: "up", content: "../../../../etc", kind: "symlink" },
    { path: "dangling", content: "/nonexistent/airlock", kind: "symlink" },
    { path: "loop", content: "loop", kind: "symlink" },
  ],
  "strange-names": [
    { path: "new\nline", content: "newline\n" },
    { path: "\u001b[31mred\u001b[0m", content: "escape\n" },
    { path: Buffer.from([0x62, 0xff, 0xfe]), content: "invalid UTF-8\n" },
    { path: "\u202egnp.exe", content: "right to left\n" },
    { path: "-rf", content: "an option\n" },
    { path: "x".repeat(255), content: "as long as a name may be\n" },
    { path: " ", content: "a space\n" },
  ],
  "case-colliding": [
    { path: "File.txt", content: "upper\n" },
    { path: "file.txt", content: "lower\n" },
    { path: "Dir/a", content: "upper\n" },
    { path: "dir", content: "/etc", kind: "symlink" },
  ],
  /** Attributes that would run a filter from the host's git configuration, and a bare repository inside the tree. */
  "filters-and-bare": [
    { path: ".gitattributes", content: "* filter=evil\n" },
    { path: "bare/HEAD", content: "ref: refs/heads/main\n" },
    { path: "bare/config", content: "[core]\n\tbare = true\n\tfsmonitor = touch /tmp/airlock-owned\n" },
    { path: "bare/objects/.keep", content: "" },
    { path: "bare/refs/.keep", content: "" },
  ],
} as const satisfies Readonly<Record<string, readonly RepositoryFile[]>>;

export type HostileRepositoryName = keyof typeof trees;

export const hostileRepositoryNames = Object.keys(trees) as readonly HostileRepositoryName[];

/** Creates the named bare repository at `path`. */
export function makeHostileRepository(name: HostileRepositoryName, path: string): Promise<FixtureRepository> {
  return makeRepository(path, [{ message: `Hostile: ${name}`, files: [readme, ...trees[name]] }]);
}
