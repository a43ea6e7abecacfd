import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { repositoryToRun } from "./repository-to-run.ts";

let checkout: string;
let data: string;
const said = vi.spyOn(console, "log").mockImplementation(() => {});

beforeEach(() => {
  const directory = mkdtempSync(path.join(tmpdir(), "airlock-start-"));
  checkout = path.join(directory, "checkout");
  data = path.join(directory, "data");
  mkdirSync(checkout);
  writeFileSync(path.join(checkout, "file.txt"), "content\n");
  writeFileSync(path.join(checkout, ".gitignore"), "ignored\n");
  writeFileSync(path.join(checkout, "ignored"), "x\n");
  said.mockClear();
});
afterEach(() => rmSync(path.dirname(checkout), { recursive: true, force: true }));

const git = (directory: string, ...args: readonly string[]) =>
  execFileSync("git", ["-c", "user.name=T", "-c", "user.email=t@example.com", ...args], {
    cwd: directory,
    encoding: "utf8",
  });

function commit(): void {
  git(checkout, "init", "--quiet");
  git(checkout, "add", ".");
  git(checkout, "commit", "--quiet", "--message=One");
}

describe("the repository of the sample job", () => {
  it("is the checkout itself", () => {
    commit();
    expect(repositoryToRun(checkout, data)).toEqual({ path: checkout });
    expect(said).not.toHaveBeenCalled();
  });

  it("is the checkout's HEAD, with a message if files have changed since", () => {
    commit();
    writeFileSync(path.join(checkout, "file.txt"), "changed\n");
    expect(repositoryToRun(checkout, data)).toEqual({ path: checkout });
    expect(said.mock.calls.join()).toContain("uncommitted changes");
  });

  it.each(["no .git at all", "no commit yet"])("is a snapshot of the files where there is %s", (state) => {
    if (state === "no commit yet") git(checkout, "init", "--quiet");
    for (const round of [1, 2]) {
      writeFileSync(path.join(checkout, "file.txt"), `round ${round}\n`);
      const found = repositoryToRun(checkout, data);
      const repository = "path" in found ? found.path : "";
      expect(git(repository, "ls-tree", "-r", "--name-only", "HEAD")).toBe(".gitignore\nfile.txt\n");
      expect(git(repository, "show", "HEAD:file.txt")).toBe(`round ${round}\n`);
    }
  });

  it("is not an outer repository that contains the checkout's directory", () => {
    git(path.dirname(checkout), "init", "--quiet");
    const found = repositoryToRun(checkout, data);
    expect("path" in found && found.path.startsWith(data)).toBe(true);
  });
});
