import { busyboxImage, loadImage, type RuntimeUnderTest, shellLessImage } from "@airlock/test-kit";

/** Loads the images of the contract suite into an engine and returns a function that loads more. */
export async function loadContractImages(
  socketPath: string,
  registryAddress: string,
): Promise<Pick<RuntimeUnderTest, "images" | "provide">> {
  const images = {
    shell: "contract-shell:1",
    noShell: "contract-shell-less:1",
    unprivileged: "contract-unprivileged:1",
    unknown: `${registryAddress}/contract/unknown:1`,
  };
  await loadImage(await busyboxImage(), socketPath, images.shell);
  await loadImage(await shellLessImage(), socketPath, images.noShell);
  await loadImage(await busyboxImage({ User: "1000:1000" }), socketPath, images.unprivileged);
  return {
    images,
    async provide(image, name) {
      const reference = `contract-${name}:1`;
      await loadImage(image, socketPath, reference);
      return reference;
    },
  };
}
