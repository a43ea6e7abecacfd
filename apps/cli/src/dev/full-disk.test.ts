import { spawn } from "node:child_process";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import path from "node:path";
import { describeWithEngines, temporaryDirectory } from "@airlock/test-kit";
import { expect, it } from "vitest";

const main = path.resolve(import.meta.dirname, "../main.ts");

/** Runs `airlock dev --once` on a disk of this size, in its own mount namespace. */
async function devOnDisk(
  size: string,
  script: string,
): Promise<{ readonly code: number | null; readonly output: string }> {
  await using directory = await temporaryDirectory();
  const job = path.join(directory.path, "job.json");
  await writeFile(job, JSON.stringify({ steps: [{ key: "main", image: "host", run: script }] }));
  const env = Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^(?:AIRLOCK_|EXECUTOR_|NODE_|VITEST)/.test(name)),
  );
  const dev = ["dev", "--listen", "127.0.0.1:0", "--data-dir", "disk/data", "--job", job, "--once"];
  const mountThenRun = 'mkdir disk && mount -t tmpfs -o "size=$1" tmpfs disk && shift && exec "$@"';
  const child = spawn(
    "unshare",
    [
      ...["--mount", "--propagation", "private", "sh", "-c", mountThenRun, "sh", size],
      ...[process.execPath, main, ...dev],
    ],
    {
      cwd: directory.path,
      env: { ...env, EXECUTOR_RUNTIME: "oci", EXECUTOR_DEFAULT_EGRESS: "none" },
      stdio: ["ignore", "pipe", "pipe"],
    },
  );
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (bytes: Buffer) => {
      output += bytes;
    });
  }
  const [code] = (await once(child, "close")) as [number | null];
  return { code, output };
}

describeWithEngines(["oci"], "`airlock dev --once` on a full disk", () => {
  it("reports the full disk and exits cleanly when there is no room for the database", async () => {
    const { code, output } = await devOnDisk("20m", "true");

    expect([code, output]).toEqual([125, expect.stringMatching(/no space left on the disk of \/.*\/disk\/data/)]);
    expect(output).toContain("Free space on that disk and start the instance again.");
  });

  it("reports the full disk and exits cleanly when a job's log fills it", async () => {
    const { code, output } = await devOnDisk(
      "56m",
      'i=0; while [ $i -lt 200000 ]; do echo "line $i of an output that fills the disk, since it is long"; i=$((i+1)); done',
    );

    expect([code, output.slice(-2000)]).toEqual([
      125,
      expect.stringMatching(/no space left on the disk of \/.*\/disk\/data/),
    ]);
    expect(output).toContain("Free space on that disk and start the instance again. No committed data is lost.");
    // Each warning is limited in rate rather than repeated with every request.
    const told = output
      .split("\n")
      .filter((line) => line.includes("instance: "))
      .map((line) => line.replace(/^\S+ \S+ /, ""));
    expect(Math.max(...told.map((line) => told.filter((other) => other === line).length))).toBeLessThan(8);
  });
});
