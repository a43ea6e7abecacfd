import { chmod, lstat, mkdir, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import {
  buildImage,
  busyboxImage,
  busyboxLayer,
  describeWithEngines,
  dockerArchive,
  type FixtureImage,
  openWorkplace,
  temporaryDirectory,
  type WorkplaceOptions,
} from "@airlock/test-kit";
import { describe, expect, it } from "vitest";
import type { SandboxPlan } from "../contract/index.ts";
import { findOnSystemPath } from "../host/find-program.ts";
import { mountOverlay, unmountBelow } from "../host-disk/mounts.ts";
import { attackerImage } from "../testing/attacks/attacker-image.ts";
import { userLimitAttacks } from "../testing/attacks/catalogue/user-limits.ts";
import { startNeighbour } from "../testing/attacks/neighbour.ts";
import { hostPlace } from "../testing/host-place.ts";
import { createOciRuntime, type OciRuntimeOptions } from "./index.ts";

const never = new AbortController().signal;
const runtimes = await Promise.all(["crun", "runc"].map(async (name) => await findOnSystemPath([name])));
/** Ids that no other test has. */
const twoSandboxes = { base: 1_900_000_000, size: 2 * 65_536 };

describeWithEngines(["oci"], "the users of a sandbox", () => {
  describe.skipIf(process.geteuid?.() !== 0)("as root", () => {
    for (const path of runtimes.filter((found) => found !== undefined)) describe(basename(path), () => ownUsers(path));

    it("when all id ranges are in use, a sandbox is refused until another one ends", async () => {
      await using place = await openPlace({ ids: twoSandboxes });
      const first = await place.open();
      await using _second = await place.open();

      await expect(place.open()).rejects.toMatchObject({
        reason: "runtime",
        message: expect.stringContaining("2 ranges of host ids"),
      });
      await first[Symbol.asyncDispose]();

      await using third = await place.open();
      expect((await third.run("cat /proc/self/uid_map")).stdout).toMatch(/ 19000\d{5} +65536$/m);
    });

    it("with one id range for all sandboxes, they share it, and the description says so", async () => {
      await using place = await openPlace({ ids: { base: 300_000, size: 65_536 } });

      const { notes, checkoutOwner } = await place.runtime.describe({ signal: never });

      expect(notes.join("\n")).toContain("they share what the kernel allows each user. The executor's settings give");
      expect(checkoutOwner).toEqual({ uid: 300_000, gid: 300_000 });
    });

    it("an image whose user is in a group that the sandbox does not have is refused", async () => {
      const group = { name: "etc/group", content: "root:x:0:\nusers:x:70000:root\n" };
      const passwd = { name: "etc/passwd", content: "root:x:0:0:root:/root:/bin/sh\n" };
      const etc = { name: "etc/", type: "directory", mode: 0o755 } as const;
      const image = await buildImage([[...(await busyboxLayer()), etc, passwd, group]]);
      await using place = await openPlace({}, image);
      await using sandbox = await place.open();

      await expect(sandbox.run("id")).rejects.toMatchObject({
        reason: "policy",
        message: expect.stringMatching(/runs with the groups 70000 .* ids 0 to 65535$/),
      });
    });
  });
});

function ownUsers(runtimePath: string): void {
  it("two sandboxes have different host ids, and see the same owners", async () => {
    await using place = await openPlace({ runtimePath });
    const script = "cat /proc/self/uid_map; stat -c '%u %n' /bin/sh /etc /data /airlock; touch /bin/new /data/new";
    await using one = await place.open();
    await using other = await place.open();

    const outputs = [(await one.run(script)).stdout, (await other.run(script)).stdout];

    const bases = outputs.map((output) => Number(/^ +0 +(\d+) +65536$/m.exec(output)?.[1]));
    expect(bases[0]).not.toBe(bases[1]);
    for (const [index, { id }] of [one, other].entries()) {
      expect(outputs[index]).toContain("0 /bin/sh\n0 /etc\n0 /data\n0 /airlock\n");
      const made = await stat(join(place.workspaceOf(id), "new"));
      expect([made.uid, made.gid]).toEqual([bases[index], bases[index]]);
    }
    expect(await ownersIn(place.layersDirectory)).toEqual(new Set([0]));
  });

  it("a sandbox gets a limited share of signals and message queues", async () => {
    await using place = await openPlace({ runtimePath });
    await using sandbox = await place.open();

    const { stdout } = await sandbox.run("grep -E 'pending|msgqueue|core' /proc/self/limits | tr -s ' '");

    expect(stdout.trim().split("\n")).toEqual([
      expect.stringContaining("Max core file size 0 0"),
      expect.stringMatching(/Max pending signals (\d+) \1 /),
      expect.stringContaining("Max msgqueue size 409600 409600 bytes"),
    ]);
    expect(Number(/signals (\d+)/.exec(stdout)?.[1])).toBeLessThanOrEqual(4096);
  });

  it("a checkout made of layers belongs to the step's user, and its owners on disk stay unchanged", async () => {
    await using place = await openPlace({ runtimePath });
    await using directory = await temporaryDirectory("airlock-layers-");
    const layers = ["upper", "lower"].map((name) => join(directory.path, name));
    for (const [index, layer] of layers.entries()) {
      await mkdir(layer);
      for (const name of ["both", `only-${index}`]) await writeFile(join(layer, name), `${name} of ${index}\n`);
    }
    await using sandbox = await place.open({ workspace: { checkout: directory.path, checkoutLayers: layers } });

    const { stdout } = await sandbox.run(
      "cat both only-0 only-1; stat -c '%u %n' . *; echo more >> both; rm only-1; mv only-0 moved; ls",
    );

    expect((await place.runtime.describe({ signal: never })).mountsCheckoutLayers).toBe(true);
    expect(stdout).toBe("both of 0\nonly-0 of 0\nonly-1 of 1\n0 .\n0 both\n0 only-0\n0 only-1\nboth\nmoved\n");
    expect(await readdir(layers[1] ?? "")).toEqual(["both", "only-1"]);
    expect(await readFile(join(layers[0] ?? "", "both"), "utf8")).toBe("both of 0\n");
    expect((await lstat(join(layers[0] ?? "", "both"))).uid).toBe(0);
  });

  it("a checkout of many layers that overlays wrote has its modes, and nothing that an upper layer removed", async () => {
    await using place = await openPlace({ runtimePath });
    await using directory = await temporaryDirectory("airlock-layers-");
    const layers = [join(directory.path, "tree")];
    await mkdir(join(layers[0] ?? "", "removed"), { recursive: true });
    for (const name of ["removed/file", "gone", "kept"]) await writeFile(join(layers[0] ?? "", name), "");
    for (let number = 1; number < 8; number += 1) {
      const dir = join(directory.path, `${number}`);
      const tree = join(dir, "mounted");
      await mountOverlay(layers.join(":"), dir, tree, never);
      try {
        await writeFile(join(tree, `tool-${number}`), "#!/bin/sh\necho ran $0\n", { mode: 0o755 });
        await chmod(join(tree, "kept"), number % 2 === 0 ? 0o600 : 0o755);
        if (number === 3) await rm(join(tree, "removed"), { recursive: true });
        if (number === 5) await rm(join(tree, "gone"));
        if (number === 6) await mkdir(join(tree, "removed"));
      } finally {
        await unmountBelow(dir, never);
      }
      layers.unshift(join(dir, "upper"));
    }
    await using sandbox = await place.open({ workspace: { checkout: directory.path, checkoutLayers: layers } });

    const { stdout } = await sandbox.run(
      "stat -c '%u %a %n' * | grep -v tool; ls removed; ./tool-1; ./tool-7; stat -c %u tool-* | uniq; rm tool-1; echo x > kept",
    );

    expect(stdout).toBe("0 755 kept\n0 755 removed\nran ./tool-1\nran ./tool-7\n0\n");
    expect((await lstat(join(layers.at(-2) ?? "", "tool-1"))).uid).toBe(0);
    expect(await readFile(join(layers[0] ?? "", "kept"), "utf8")).toBe("");
  });

  it("an image with an unprivileged user may change the checkout", async () => {
    await using place = await openPlace({ runtimePath }, await busyboxImage({ User: "1000:1000" }));
    await using checkout = await temporaryDirectory("airlock-checkout-");
    await writeFile(join(checkout.path, "file"), "content\n");
    await using sandbox = await place.open({ workspace: { checkout: checkout.path } });

    const { stdout } = await sandbox.run("echo more >> file; cat file; stat -c %u file; id -u");

    expect(stdout).toBe("content\nmore\n1000\n1000\n");
    expect((await lstat(join(checkout.path, "file"))).uid).toBe(0);
  });

  it("a job that uses up all the kernel's resources for one user takes nothing from another job", async () => {
    await using place = await openPlace({ runtimePath }, await attackerImage());
    for (const { id, script, neighbour = "" } of userLimitAttacks) {
      await using sandbox = await place.open();
      const plan = place.planOf(`${id}-${process.pid}`);
      await using beside = await startNeighbour(place.runtime, {
        ...{ plan, script: neighbour, image: "fixture:1", signal: AbortSignal.timeout(30_000) },
      });

      const { stdout } = await sandbox.run(script, { env: { NEIGHBOUR: beside.said } });

      expect(stdout, id).toMatch(/^HELD beside [1-9]/);
    }
  });

  it("nothing of the users is left when the sandbox is gone", async () => {
    await using place = await openPlace({ runtimePath });
    const sandbox = await place.open();
    await sandbox.run("true");

    await sandbox[Symbol.asyncDispose]();

    expect(await readFile("/proc/self/mountinfo", "utf8")).not.toContain(place.directory);
  });
}

async function openPlace(options: Partial<OciRuntimeOptions>, image?: FixtureImage) {
  await using made = new AsyncDisposableStack();
  const { path } = made.use(await temporaryDirectory("airlock-users-"));
  const stateDir = join(path, "state");
  const runtime = await createOciRuntime({ stateDir, allowHostImage: false, ...options });
  made.defer(() => runtime.close());
  await writeFile(join(path, "image.tar"), await dockerArchive(image ?? (await busyboxImage()), "fixture:1"));
  await runtime.loadImages(join(path, "image.tar"), { signal: never });
  const owner = `users-${process.pid}`;
  const owned = made.move();
  return {
    runtime,
    directory: path,
    layersDirectory: join(stateDir, "images", "layers-0-65536"),
    open: (more: Partial<WorkplaceOptions> = {}) => openWorkplace(runtime, { owner, image: "fixture:1", ...more }),
    planOf: (id: string): SandboxPlan => ({
      id,
      owner,
      workspace: { checkout: null, files: [], readOnlyFiles: [] },
      limits: { cpus: 1, memoryBytes: 256 * 2 ** 20, pids: 100 },
      egress: { kind: "none" },
    }),
    workspaceOf: (id: string) => hostPlace(join(stateDir, "workspaces"), { owner, id }).workspaceDir,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

async function ownersIn(directory: string): Promise<ReadonlySet<number>> {
  const paths = await readdir(directory, { recursive: true });
  return new Set(await Promise.all(paths.map(async (path) => (await lstat(join(directory, path))).uid)));
}
