import { readdir, readlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { busyboxImage, describeWithEngines, dockerArchive, openWorkplace, temporaryDirectory } from "@airlock/test-kit";
import { describe, expect, it } from "vitest";
import { findOnSystemPath } from "../host/find-program.ts";
import { createOciRuntime, type OciRuntimeOptions } from "./index.ts";

const port = 4480;
const paths = await Promise.all(["crun", "runc"].map((name) => findOnSystemPath([name])));

describeWithEngines(["oci"], "services of the oci runtime", () => {
  describe.each(paths.filter((path) => path !== undefined))("with %s", (runtimePath) => {
    it("are reached without a user namespace", async () => {
      await using place = await openPlace({ runtimePath, hardening: { userNamespace: false } }, [port]);
      expect((await place.run(`nc 127.0.0.1 ${port} </dev/null; ls /sys/class/net`)).stdout).toBe(`${port}\nlo\n`);
    });

    it("leave no descriptor of a network, and the executor in its own network", async () => {
      const home = await readlink("/proc/thread-self/ns/net");
      {
        await using place = await openPlace({ runtimePath }, [port, port + 1]);
        for (const each of [port, port + 1]) {
          expect((await place.run(`nc 127.0.0.1 ${each} </dev/null`)).stdout).toBe(`${each}\n`);
        }
        expect(await readlink("/proc/thread-self/ns/net")).toBe(home);
        expect(await heldNetworks()).toHaveLength(1);
      }
      expect(await heldNetworks()).toEqual([]);
    });

    it("leave nothing when a port is asked for twice", async () => {
      await expect(openPlace({ runtimePath }, [port, port])).rejects.toMatchObject({ reason: "runtime" });
      expect(await heldNetworks()).toEqual([]);
    });
  });

  it("are not offered on gVisor's own network stack", async ({ skip }) => {
    const runtimePath = await findOnSystemPath(["runsc"]);
    if (runtimePath === undefined) return skip("there is no runsc");
    const opening = openPlace({ runtimePath, gvisor: { network: "sandbox" } }, [port]);
    await expect(opening).rejects.toMatchObject({ reason: "policy", hint: expect.stringContaining("gVisor") });
  });
});

async function openPlace(options: Partial<OciRuntimeOptions>, ports: readonly number[]) {
  await using stack = new AsyncDisposableStack();
  const directory = stack.use(await temporaryDirectory("airlock-oci-services-")).path;
  const runtime = await createOciRuntime({ stateDir: join(directory, "state"), allowHostImage: false, ...options });
  stack.defer(() => runtime.close());
  const archive = join(directory, "image.tar");
  await writeFile(archive, await dockerArchive(await busyboxImage(), "fixture:1"));
  await runtime.loadImages(archive, { signal: new AbortController().signal });
  const services = ports.map((each) => ({
    port: each,
    serve: (connection: { end(text: string): unknown }) => void connection.end(`${each}\n`),
  }));
  const place = stack.use(
    await openWorkplace(runtime, { owner: `services-${process.pid}`, image: "fixture:1", services }),
  );
  const owned = stack.move();
  return { run: place.run, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

async function heldNetworks(): Promise<readonly string[]> {
  const links = (await readdir("/proc/self/fd")).map((name) => readlink(`/proc/self/fd/${name}`).catch(() => ""));
  return (await Promise.all(links)).filter((link) => link.startsWith("net:["));
}
