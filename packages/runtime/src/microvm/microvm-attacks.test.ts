import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { dockerArchive, temporaryDirectory } from "@airlock/test-kit";
import { findCgroupHost } from "../host/cgroups/cgroup-host.ts";
import { attackerImage } from "../testing/attacks/attacker-image.ts";
import { hostileImages } from "../testing/attacks/hostile-images.ts";
import { describeAttacks } from "../testing/attacks/suite/describe-attacks.ts";
import { createMicrovmRuntime, type MicrovmRuntime } from "./microvm-runtime.ts";
import { testGuest, testQemuMonitor } from "./testing/test-guest.ts";

const never = new AbortController().signal;

describeAttacks({
  name: "microvm",
  engines: ["microvm", "network"],
  timeFactor: 6,
  async prepare() {
    await using cleanup = new AsyncDisposableStack();
    const directory = cleanup.use(await temporaryDirectory("vm-")).path;
    const monitor = await testQemuMonitor({ owner: `attacks-${process.pid}` });
    const owned = cleanup.move();
    return {
      workspacesDir: join(directory, "none"),
      createRuntime: async (hardening, egress) =>
        createMicrovmRuntime({
          // Short, because of the sockets of virtual machines.
          stateDir: directory,
          guest: await testGuest(),
          monitorFor: (owner) => monitor.of(owner),
          cgroupHost: await findCgroupHost(),
          hardening,
          egress,
        }),
      async loadImage(runtime, name) {
        const reference = `attacks/${name ?? "attacker"}:1`;
        const archive = join(directory, "image.tar");
        const image = await (name ? hostileImages[name] : attackerImage)();
        await writeFile(archive, await dockerArchive(image, reference));
        await (runtime as MicrovmRuntime).loadImages(archive, { signal: never });
        return reference;
      },
      [Symbol.asyncDispose]: () => owned.disposeAsync(),
    };
  },
});
