import { mkdir } from "node:fs/promises";
import { runGit } from "./run-git.ts";

export interface RepositoryFile {
  /** The path as stored in the tree. May contain newlines, control characters and, as a Buffer, invalid UTF-8. */
  readonly path: string | Buffer;
  /** The file's bytes, a symlink's target, or a submodule's commit (40 hex digits). */
  readonly content: string | Buffer;
  /** Default `file`. */
  readonly kind?: "file" | "executable" | "symlink" | "submodule";
}

export interface RepositoryCommit {
  readonly message: string;
  /** Files added to those of the previous commit. */
  readonly files: readonly RepositoryFile[];
  /** An annotated tag on this commit. */
  readonly tag?: string;
  /** The branch of this commit. Default `main`. A new branch starts at the previous commit. */
  readonly branch?: string;
}

export interface FixtureRepository {
  /** Absolute path of a bare repository, its HEAD on `main`. */
  readonly path: string;
  /** Hashes of the commits, in the order given. */
  readonly commits: readonly string[];
  /** The last commit of `main`. */
  readonly head: string;
}

const modes = { file: "100644", executable: "100755", symlink: "120000", submodule: "160000" } as const;

/** Creates a bare repository. Trees may be impossible to check out, because nothing is checked out. */
export async function makeRepository(
  path: string,
  commits: readonly RepositoryCommit[],
  { objectFormat = "sha1" }: { readonly objectFormat?: "sha1" | "sha256" } = {},
): Promise<FixtureRepository> {
  await mkdir(path, { recursive: true });
  await runGit(path, ["init", "--quiet", "--bare", "--initial-branch=main", `--object-format=${objectFormat}`]);
  const stream: Buffer[] = [];
  let when = 1_767_225_600;
  const seen = new Set<string>();
  commits.forEach(({ message, files, tag, branch = "main" }, index) => {
    const who = `Fixture <fixture@example.com> ${when} +0000\n`;
    when += 60;
    const start = index > 0 && !seen.has(branch) ? `from :${index}\n` : "";
    seen.add(branch);
    stream.push(Buffer.from(`commit refs/heads/${branch}\nmark :${index + 1}\ncommitter ${who}`));
    stream.push(data(message), Buffer.from(start));
    for (const { path: name, content, kind = "file" } of files) {
      const inline = kind !== "submodule";
      stream.push(Buffer.from(`M ${modes[kind]} ${inline ? "inline" : content} `), quoted(name), Buffer.from("\n"));
      if (inline) stream.push(data(content));
    }
    if (tag) stream.push(Buffer.from(`tag ${tag}\nfrom :${index + 1}\ntagger ${who}`), data(`Release ${tag}`));
  });
  // Each line makes git print the commit's hash to stdout.
  commits.forEach((_, index) => {
    stream.push(Buffer.from(`get-mark :${index + 1}\n`));
  });
  stream.push(Buffer.from("done\n"));
  const hashes = await runGit(path, ["fast-import", "--quiet", "--done"], Buffer.concat(stream));
  return { path, commits: hashes.split("\n"), head: await runGit(path, ["rev-parse", "main"]) };
}

function data(content: string | Buffer): Buffer {
  const bytes = Buffer.from(content);
  return Buffer.concat([Buffer.from(`data ${bytes.length}\n`), bytes, Buffer.from("\n")]);
}

/** Quotes a path in C style, with every special byte as octal. */
function quoted(path: string | Buffer): Buffer {
  const text = [...Buffer.from(path)]
    .map((byte) => (/[\w./ -]/.test(String.fromCharCode(byte)) && byte < 128 ? String.fromCharCode(byte) : octal(byte)))
    .join("");
  return Buffer.from(`"${text}"`);
}

function octal(byte: number): string {
  return `\\${byte.toString(8).padStart(3, "0")}`;
}
