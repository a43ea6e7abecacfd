import { createHash } from "node:crypto";
import { readdir, readFile, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { ArtifactView } from "@airlock/api";
import { temporaryDirectory } from "@airlock/test-kit";
import { expect, it } from "vitest";
import { runCommandLine } from "../../run-command-line.ts";
import { answerJson, stubInstance } from "../../testing/stub-instance.ts";
import { testContext } from "../../testing/test-context.ts";

function artifact(overrides: Partial<ArtifactView> = {}): ArtifactView {
  return {
    id: 3,
    attempt: 1,
    name: "outputs.tar.gz",
    kind: "file-archive",
    bytes: 4,
    sha256: createHash("sha256").update("data").digest("hex"),
    createdAt: "2026-08-01T10:00:00.000Z",
    ...overrides,
  };
}

async function download(
  artifacts: readonly ArtifactView[],
  args: readonly string[],
  prepare?: (dir: string) => unknown,
) {
  await using temporary = await temporaryDirectory();
  const dir = temporary.path;
  await prepare?.(dir);
  await using instance = await stubInstance({
    "GET jobs/7/artifacts": (_request, response) => answerJson(response, { artifacts }),
    "GET jobs/7/artifacts/3": (_request, response) => void response.end("data"),
    "GET jobs/7/artifacts/4": (_request, response) => void response.end("more"),
  });
  const context = testContext({ env: instance.env, cwd: dir });
  await runCommandLine(["job", "download", "7", ...args], context);
  const names = await readdir(dir);
  const files = Object.fromEntries(
    await Promise.all(names.map(async (name) => [name, await readFile(join(dir, name), "utf8")])),
  );
  return { files, exitCode: context.exitCode, ...context.printed };
}

it("saves the artifacts of the last attempt unchanged", async () => {
  const sha256 = createHash("sha256").update("more").digest("hex");
  const { files } = await download([artifact(), artifact({ id: 4, attempt: 2, sha256 })], []);
  expect(files).toEqual({ "job-7-outputs.tar.gz": "more" });
});

it("refuses a download that differs from what the instance stored, and deletes it", async () => {
  const { files, exitCode, stderr } = await download([artifact({ sha256: "0".repeat(64) })], ["outputs.tar.gz"]);
  expect([files, exitCode]).toEqual([{}, 1]);
  expect(stderr).toContain("the download is damaged: its checksum differs from the instance's");
});

it("refuses an artifact name that leads to another directory", async () => {
  const { files, exitCode } = await download([artifact({ name: "../../evil" })], []);
  expect(files).toEqual({});
  expect(exitCode).not.toBeNull();
});

it("replaces a symbolic link at the target, not the file that it points to", async () => {
  const { files } = await download([artifact()], ["-o", "out"], async (dir) => {
    await writeFile(join(dir, "precious"), "kept");
    await symlink("precious", join(dir, "out"));
  });
  expect(files).toEqual({ precious: "kept", out: "data" });
});

it("lists the existing artifacts if the requested one does not exist", async () => {
  const { exitCode, stderr } = await download([artifact()], ["nothing"]);
  expect(exitCode).toBe(1);
  expect(stderr).toContain("Its artifacts are: outputs.tar.gz.");
});
