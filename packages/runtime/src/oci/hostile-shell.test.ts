import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import {
  buildImage,
  busyboxLayer,
  describeWithEngines,
  dockerArchive,
  openWorkplace,
  temporaryDirectory,
} from "@airlock/test-kit";
import { expect, it } from "vitest";
import { findOnSystemPath } from "../host/find-program.ts";
import { createOciRuntime } from "./index.ts";

const never = new AbortController().signal;
const hasGvisor = (await findOnSystemPath(["runsc"])) !== undefined && process.geteuid?.() === 0;

/** The image's shell is the first process of a step and has the channel to the executor. */
describeWithEngines(["oci"], "a step whose image has a hostile shell", () => {
  it("cannot fill the executor's memory with a line that has no end", async () => {
    await using place = await openPlace("head -c 300000000 /dev/zero >&3; exit 3");
    const before = process.memoryUsage.rss();
    let most = before;
    const timer = setInterval(() => {
      most = Math.max(most, process.memoryUsage.rss());
    }, 5);

    const { status } = await place.run("true");
    clearInterval(timer);

    expect(status.kind).toBe("exited");
    expect(most - before).toBeLessThan(100 * 2 ** 20);
  });

  it("gets only an exit code that a process can have", async () => {
    await using place = await openPlace("echo 9999999 >&3; exit 3");

    expect((await place.run("true")).status).toEqual({ kind: "exited", exitCode: 3 });
  });

  it.skipIf(!hasGvisor)("can be aborted on gVisor even if the shell never answers", async () => {
    const shell = "trap '' TERM; echo 0 >&0; echo here; while :; do /bin/busybox sleep 1; done";
    await using place = await openPlace(shell, "runsc");
    const stop = new AbortController();
    const printed = () => stop.abort(new Error("enough"));
    const running = place.start("true", { signal: stop.signal, output: printed });

    await expect(running).rejects.toThrow("enough");
  });
});

async function openPlace(shell: string, runtimePath?: string) {
  await using made = new AsyncDisposableStack();
  const { path } = made.use(await temporaryDirectory("airlock-shell-"));
  const stateDir = join(path, "state");
  await mkdir(stateDir);
  const runtime = await createOciRuntime({
    stateDir,
    allowHostImage: false,
    ...(runtimePath === undefined ? {} : { runtimePath, gvisor: { platform: "ptrace" } }),
  });
  made.defer(() => runtime.close());
  const image = await buildImage([
    (await busyboxLayer()).filter(({ name }) => name !== "bin/sh"),
    [{ name: "bin/sh", mode: 0o755, content: `#!/bin/busybox sh\n${shell}\n` }],
  ]);
  await writeFile(join(path, "image.tar"), await dockerArchive(image, "fixture:1"));
  await runtime.loadImages(join(path, "image.tar"), { signal: never });
  const place = made.use(
    await openWorkplace(runtime, {
      id: `shell-${process.pid}`,
      owner: `shell-test-${process.pid}`,
      image: "fixture:1",
      limits: { cpus: 1, memoryBytes: 256 * 2 ** 20, pids: 400 },
    }),
  );
  const owned = made.move();
  return { run: place.run, start: place.start, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}
