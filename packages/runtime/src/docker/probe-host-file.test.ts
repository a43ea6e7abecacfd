import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describeWithEngines, engines, temporaryDirectory } from "@airlock/test-kit";
import { expect, it } from "vitest";
import { EngineClient } from "./engine-client.ts";
import { findsHostFile } from "./probe-host-file.ts";

const { signal } = new AbortController();

describeWithEngines(["docker"], "a Docker engine that is asked for a file of the host", () => {
  const open = () => {
    const engine = new EngineClient({ host: `unix://${engines().docker?.socketPath}` });
    return { engine, [Symbol.asyncDispose]: () => engine.close() };
  };

  it("finds a file that exists, and does not find a missing one", async () => {
    await using docker = open();
    await using directory = await temporaryDirectory();
    writeFileSync(join(directory.path, "file"), "");

    expect(await findsHostFile(docker.engine, join(directory.path, "file"), { signal })).toBe(true);
    expect(await findsHostFile(docker.engine, join(directory.path, "other"), { signal })).toBe(false);
    expect(await findsHostFile(docker.engine, join(directory.path, "no/such/directory"), { signal })).toBe(false);
  });

  it("does not find a file below a mount that exists only in the executor's mount namespace", async () => {
    await using docker = open();
    await using directory = await temporaryDirectory();
    const mounted = join(directory.path, "mounted");
    // Mounts below a private mount stay in this mount namespace, as on hosts whose root mount is private.
    execFileSync("mount", ["--bind", directory.path, directory.path]);
    execFileSync("mount", ["--make-private", directory.path]);
    try {
      mkdirSync(mounted);
      execFileSync("mount", ["-t", "tmpfs", "tmpfs", mounted]);
      writeFileSync(join(mounted, "file"), "");

      expect(await findsHostFile(docker.engine, join(mounted, "file"), { signal })).toBe(false);
    } finally {
      execFileSync("umount", ["-R", directory.path]);
    }
  });
});
