import { execFile } from "node:child_process";
import { mkdir, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import type { Sandbox } from "@airlock/runtime";
import { walkBeneath } from "@airlock/runtime/host-disk";
import { temporaryDirectory } from "@airlock/test-kit";
import { expect, it } from "vitest";
import { JobLog } from "../logs/job-log.ts";
import { SecretMatcher } from "../logs/secret-matcher.ts";
import { secretPatterns } from "../logs/secret-patterns.ts";
import { RecordingSink } from "../testing/recording-sink.ts";
import { OutputGlobs } from "./output-globs.ts";
import { emptyReport, packOutputs } from "./pack-outputs.ts";

it("redacting secrets in file names loses no file, and a replacement never leads to another directory", async () => {
  await using directory = await temporaryDirectory();
  const work = join(directory.path, "work");
  await mkdir(join(work, "out", "s3cr3t-one"), { recursive: true });
  for (const name of ["a-s3cr3t-one", "a-s3cr3t-two", "plain", "s3cr3t-one/s3cr3t-two"]) {
    await writeFile(join(work, "out", name), `content of ${name.replaceAll("s3cr3t", "")}\n`);
  }
  const long = `${"x".repeat(230)}/${"y".repeat(60)}-s3cr3t-two`;
  await mkdir(join(work, "out", "x".repeat(230)));
  await symlink("/etc/passwd", join(work, "out", long));
  const secrets = { "s3cr3t-one": "../../etc/one", "s3cr3t-two": "{{ two }}" };
  const log = new JobLog({
    sink: new RecordingSink(),
    secrets: new SecretMatcher(secretPatterns(secrets)),
    maximumBytes: 1e6,
  });
  const report = emptyReport();
  const sandbox: Pick<Sandbox, "walk"> = { walk: (path, walk) => walkBeneath(join(work, path), "", walk) };
  const parts: Buffer[] = [];
  const limits = { maximumFiles: 100, maximumBytes: 1e6, maximumEntries: 100 };
  const options = { limits, signal: new AbortController().signal, maskPath: (path: Buffer) => log.maskPath(path) };
  for await (const part of packOutputs(sandbox, new OutputGlobs(["out/**"]), report, options)) parts.push(part);
  const archive = join(directory.path, "outputs.tar");
  await writeFile(archive, Buffer.concat(parts));

  const listed = (await promisify(execFile)("tar", ["-tf", archive])).stdout.trimEnd().split("\n").sort();

  expect(listed).toEqual([
    "out/SECRET_REMOVED/SECRET_REMOVED",
    "out/a-SECRET_REMOVED",
    "out/a-SECRET_REMOVED~2",
    "out/plain",
  ]);
  // A long name is truncated, but not in the middle of a secret.
  expect(report.problems).toHaveLength(1);
  expect(JSON.stringify([report.problems, Buffer.concat(parts).toString("latin1")])).not.toContain("s3cr3t");
});
