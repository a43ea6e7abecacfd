import { execFile } from "node:child_process";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, it, onTestFinished } from "vitest";
import { describeWithEngines, engines } from "../engines/engines.ts";
import { busyboxImage, loadImage, pushImage, shellLessImage, writeOciLayout } from "./fixture-images.ts";

const run = promisify(execFile);

async function docker(...args: string[]): Promise<string> {
  const { socketPath } = engines().docker ?? expect.unreachable();
  return (await run("docker", ["--host", `unix://${socketPath}`, ...args])).stdout.trim();
}

it("an OCI layout holds each blob of the image under its digest", async () => {
  const directory = await mkdtemp(join(tmpdir(), "airlock-"));
  onTestFinished(() => rm(directory, { recursive: true }));
  const image = await shellLessImage();
  await writeOciLayout(image, directory);
  const blobs = await readdir(join(directory, "blobs", "sha256"));
  expect(blobs.map((name) => `sha256:${name}`).sort()).toEqual(
    [image.config, image.manifest, ...image.layers].map(({ digest }) => digest).sort(),
  );
});

describeWithEngines(["docker", "registry"], "the Docker and registry engines", () => {
  it("pull a pushed image and run it as its own user", async () => {
    const { address } = engines().registry ?? expect.unreachable();
    const image = await busyboxImage({ User: "1234:1234" });
    const reference = await pushImage(image, { registry: address, repository: "fixture/user" });
    onTestFinished(async () => void (await docker("image", "rm", "--force", reference)));
    expect(await docker("run", "--rm", "--network=none", reference, "id", "-u")).toBe("1234");
  });

  it("run an image that was loaded", async () => {
    const { socketPath } = engines().docker ?? expect.unreachable();
    await loadImage(await shellLessImage(), socketPath, "fixture-shell-less:loaded");
    onTestFinished(async () => void (await docker("image", "rm", "--force", "fixture-shell-less:loaded")));
    expect(await docker("run", "--rm", "--network=bridge", "fixture-shell-less:loaded", "echo", "hi")).toBe("hi");
    await expect(docker("run", "--rm", "--entrypoint=/bin/sh", "fixture-shell-less:loaded")).rejects.toThrow("/bin/sh");
  });
});
