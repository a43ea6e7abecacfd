import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { busyboxImage, describeWithEngines, dockerArchive, openWorkplace, temporaryDirectory } from "@airlock/test-kit";
import { describe, expect, it } from "vitest";
import { findOnSystemPath } from "../host/find-program.ts";
import { createOciRuntime } from "./index.ts";

const never = new AbortController().signal;
const runscPath = await findOnSystemPath(["runsc"]);

describeWithEngines(["oci"], "steps on gVisor", () => {
  describe.skipIf(runscPath === undefined || process.geteuid?.() !== 0)("with runsc and root", () => {
    it("have a separate kernel, also when runsc is configured by name", async () => {
      await using place = await openPlace("ptrace");

      expect((await place.runtime.describe({ signal: never })).version).toMatch(/^runsc \S+$/);
      expect(await place.run("cat /proc/version", never)).toEqual({ kind: "exited", exitCode: 0 });
      expect(place.printed()).toMatch(/^Linux version 4\.4\.0 /);
    });

    it("leave no process when the start fails", async () => {
      await using place = await openPlace("nonsense");

      await expect(place.run("true", never)).rejects.toMatchObject({ reason: "runtime" });

      expect(await processesNaming(place.id)).toEqual([]);
    });

    it("leave no process when the start is aborted", async () => {
      await using place = await openPlace("ptrace");
      const reason = new Error("too slow");
      const stop = new AbortController();
      const running = place.run("sleep 1000", stop.signal);
      running.catch(() => {});
      while ((await processesNaming(place.id)).length === 0) await new Promise((resolve) => setTimeout(resolve, 5));

      stop.abort(reason);

      await expect(running).rejects.toBe(reason);
      expect(await processesNaming(place.id)).toEqual([]);
    });
  });
});

async function openPlace(platform: string) {
  await using made = new AsyncDisposableStack();
  const { path } = made.use(await temporaryDirectory("airlock-gvisor-"));
  const runtime = await createOciRuntime({
    stateDir: join(path, "state"),
    runtimePath: "runsc",
    gvisor: { platform },
    allowHostImage: false,
  });
  made.defer(() => runtime.close());
  await writeFile(join(path, "image.tar"), await dockerArchive(await busyboxImage(), "fixture:1"));
  await runtime.loadImages(join(path, "image.tar"), { signal: never });
  const id = `gvisor-${process.pid}-${platform}`;
  const place = made.use(
    await openWorkplace(runtime, { id, owner: "gvisor-test", image: "fixture:1", limits: { pids: 100 } }),
  );
  const owned = made.move();
  const printed: string[] = [];
  return {
    runtime,
    id,
    printed: () => printed.join(""),
    run: (script: string, signal: AbortSignal) =>
      place.start(script, { signal, output: (_, bytes) => void printed.push(bytes.toString()) }),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** Finds processes by cgroup and by command line, since gVisor's own processes don't mention the sandbox in theirs. */
async function processesNaming(sandbox: string): Promise<readonly string[]> {
  const found: string[] = [];
  for (const pid of await readdir("/proc")) {
    if (!/^\d+$/.test(pid)) continue;
    // A process may end between the two reads.
    const about = await Promise.all(
      ["cgroup", "cmdline"].map((name) => readFile(`/proc/${pid}/${name}`, "utf8").catch(() => "")),
    );
    if (about.some((text) => text.includes(sandbox))) found.push(about.join(" "));
  }
  return found;
}
