import { readFileSync } from "node:fs";
import type { AirlockError } from "@airlock/job";
import { expect, it } from "vitest";
import {
  buildImage,
  busyboxLayer,
  type FixtureImage,
  type ImageConfig,
  type LayerEntry,
} from "../images/fixture-images.ts";
import type { Workplace } from "./workplace.ts";

/** A shell of the host, which needs the host's program loader and libraries. */
const dynamicShell = readFileSync("/bin/sh");

export interface ImageTests {
  /** Adds an image to the runtime and returns the reference for jobs. */
  provide(image: FixtureImage, name: string): Promise<string>;
  open(): Promise<Workplace>;
}

/** Tests what images may contain and declare. Results and messages are the same on every runtime. */
export function itTakesImages(
  tests: () => ImageTests,
  { sharesKernel, isCluster = false }: { readonly sharesKernel: boolean; readonly isCluster?: boolean },
): void {
  let count = 0;

  async function provide(config: ImageConfig, ...layers: readonly (readonly LayerEntry[])[]): Promise<string> {
    count += 1;
    const image = await buildImage([await busyboxLayer(), ...layers], { Env: ["PATH=/bin"], ...config });
    return await tests().provide(image, `places-${count}`);
  }

  const directory = (name: string, mode = 0o755): LayerEntry => ({ name: `${name}/`, type: "directory", mode });
  const link = (name: string, linkname: string): LayerEntry => ({ name, type: "symlink", linkname });
  const file = (name: string): LayerEntry => ({ name, mode: 0o644, content: "x" });
  /** Deletes a directory of the layer below, e.g. `etc`. */
  const deleted = (name: string): LayerEntry => ({ name: `.wh.${name}`, content: "" });

  const workspacePlaces: readonly [string, ImageConfig, readonly LayerEntry[]][] = [
    ["a working directory at /data", { WorkingDir: "/data" }, []],
    ["a working directory below /data", { WorkingDir: "/data/sub" }, []],
    ["a volume at /data", { Volumes: { "/data": {} } }, []],
    ["a directory with files at /data", {}, [directory("data"), file("data/old")]],
    ["a volume with files at /data", { Volumes: { "/data/": {} } }, [directory("data"), file("data/old")]],
  ];
  it.each(workspacePlaces)("an image with %s gets the workspace there", async (_, config, layer) => {
    await using place = await tests().open();
    await place.put("from-host", "host\n");
    const image = await provide(config, layer);

    const { status, stdout, stderr } = await place.run("pwd; ls; cat from-host; echo x > made", { image });

    expect([status, stdout, stderr]).toEqual([{ kind: "exited", exitCode: 0 }, "/data\nfrom-host\nhost\n", ""]);
    expect((await place.run("ls", { image })).stdout).toBe("from-host\nmade\n");
  });

  const volumePlaces: readonly [string, ImageConfig, readonly LayerEntry[], string][] = [
    ["in no layer", { Volumes: { "/not/there": {} } }, [], "/not/there"],
    [
      "in a directory with another mode",
      { Volumes: { "/var/cache/x": {} } },
      [directory("var", 0o711)],
      "/var/cache/x",
    ],
    ["in a directory of its own", { Volumes: { "/there": {} } }, [directory("there")], "/there"],
    ["behind a link", { Volumes: { "/link/sub": {} } }, [directory("there"), link("link", "there")], "/there/sub"],
    ["behind a link out of its root", { Volumes: { "/link": {} } }, [link("link", "../../../made")], "/made"],
  ];
  it.each(volumePlaces)("an image with a volume %s gets a directory there", async (_, config, layer, path) => {
    await using place = await tests().open();
    const image = await provide(config, layer);

    const { stdout, stderr } = await place.run(
      `stat -c '%a %u:%g %F' ${path}; echo x > ${path}/x && cat ${path}/x; stat -c %a /var 2>/dev/null; true`,
      { image },
    );

    expect([stdout.replace(/^711\n/m, ""), stderr]).toEqual(["755 0:0 directory\nx\n", ""]);
    expect(stdout.includes("711\n")).toBe(path.startsWith("/var"));
  });

  it("an image whose /bin/sh needs a program loader that the image does not have is the job's fault", async () => {
    await using place = await tests().open();
    const image = await provide({}, [{ name: "bin/sh", mode: 0o755, content: dynamicShell }]);

    await expect(place.run("true", { image })).rejects.toMatchObject({
      reason: "image-invalid",
      message: expect.stringMatching(/^image ".*" has no working \/bin\/sh$/),
      hint: "Steps are shell scripts: use an image with a shell for this machine's architecture.",
    });
  });

  // Old versions of gVisor run it all the same.
  if (sharesKernel) {
    it("an image whose user may not run its /bin/sh is the job's fault, in words that name no engine", async () => {
      await using place = await tests().open();
      const content = (await busyboxLayer()).find(({ name }) => name === "bin/busybox")?.content ?? "";
      const image = await provide({ User: "1234:1234" }, [{ name: "bin/sh", mode: 0o700, content }]);

      const end = await place.run("true", { image }).then(
        ({ status, stderr }) => ({ status, stderr }),
        ({ reason, message }: AirlockError) => ({ reason, message }),
      );

      expect([
        { reason: "image-invalid", message: expect.stringMatching(/^image ".*" has no working \/bin\/sh$/) },
        { status: { kind: "exited", exitCode: 126 }, stderr: "sh: exec: line 0: /bin/sh: Permission denied\n" },
      ]).toContainEqual(end);
    });
  }

  // Only the machine that starts the container knows what the image declares.
  if (isCluster) return;

  const refused: readonly [ImageConfig, readonly LayerEntry[], string][] = [
    [{}, [file("data")], "has a file at /data, where Airlock mounts the workspace"],
    [{}, [link("data", "/tmp")], "has a symbolic link at /data, where Airlock mounts the workspace"],
    [{}, [link("data", "/nowhere")], "has a symbolic link at /data, where Airlock mounts the workspace"],
    [{}, [file("airlock")], "has a file at /airlock, where Airlock mounts the scripts"],
    [{}, [link("airlock", "/tmp")], "has a symbolic link at /airlock, where Airlock mounts the scripts"],
    [{}, [deleted("etc"), file("etc")], "has a file at /etc, where Airlock puts hosts, hostname and resolv.conf"],
    [
      {},
      [deleted("etc"), directory("usr"), directory("usr/etc"), link("etc", "/usr/etc")],
      "has a symbolic link at /etc, where Airlock puts hosts, hostname and resolv.conf",
    ],
    [{}, [file("proc")], "has a file at /proc, where the kernel's files are"],
    [{}, [link("proc", "/tmp")], "has a symbolic link at /proc, where the kernel's files are"],
    [{}, [link("sys", "tmp")], "has a symbolic link at /sys, where the kernel's files are"],
    [{}, [link("dev", "/tmp")], "has a symbolic link at /dev, where the devices are"],
    [{ Volumes: { "/there": {} } }, [file("there")], 'declares the volume "/there", where it has a file'],
    [{ Volumes: { "/proc/x": {} } }, [], 'declares the volume "/proc/x", but the kernel\'s files are at /proc'],
    [{ Volumes: { "/sys": {} } }, [], 'declares the volume "/sys", but the kernel\'s files are at /sys'],
    [{ Volumes: { "/tmp/../dev/shm": {} } }, [], 'declares the volume "/tmp/../dev/shm", but the devices are at /dev'],
    [{ Volumes: { "/airlock": {} } }, [], 'declares the volume "/airlock", but Airlock mounts the scripts at /airlock'],
    [
      { Volumes: { "/data/sub": {} } },
      [],
      'declares the volume "/data/sub", but Airlock mounts the workspace at /data',
    ],
    [{ Volumes: { "/": {} } }, [], 'declares the volume "/", which is the whole file system'],
    [
      { WorkingDir: "/proc/self/fd/8" },
      [],
      'has the working directory "/proc/self/fd/8", but the kernel\'s files are at /proc',
    ],
    [{ WorkingDir: "/tmp/../sys" }, [], 'has the working directory "/tmp/../sys", but the kernel\'s files are at /sys'],
    [{ Env: ["PATH=/bin", "=x"] }, [], 'has the environment entry "=x", which has no name'],
    [{ Env: ["PATH=/bin", "A=b\0c"] }, [], 'has an environment variable "A" with a NUL byte'],
    [{ User: "nobody-there" }, [], 'runs as the user "nobody-there", which is not in its /etc/passwd'],
    [{ User: "0:none-there" }, [], 'runs as the group "none-there", which is not in its /etc/group'],
  ];
  it.each(refused.map(([config, layer, words]) => [words, config, layer] as const))(
    "an image that %s is the job's fault",
    async (words, config, layer) => {
      await using place = await tests().open();
      const image = await provide(config, layer);

      const failure = await place.run("true", { image }).then(
        ({ status }) => status,
        (error: AirlockError) => ({
          reason: error.reason,
          message: error.message,
          hint: error.hint,
          cause: String(error.cause),
        }),
      );

      // Some runtimes use the job's spelling in messages, others the full name.
      const message = expect.toSatisfy((text: string) =>
        [image, `docker.io/${image}`].some((name) => text === `image "${name}" ${words}`),
      );
      expect(failure).toMatchObject({ reason: "image-invalid", message });
      expect(failure).not.toMatchObject({ hint: expect.stringContaining("credentials") });
    },
  );
}
