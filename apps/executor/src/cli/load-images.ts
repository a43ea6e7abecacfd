import { AirlockError } from "@airlock/job";
import { openMicrovmRuntime } from "@airlock/runtime/microvm";
import { createOciRuntime } from "@airlock/runtime/oci";
import type { Config } from "../config/options.ts";
import { microvmOptions, ociOptions } from "./create-runtime.ts";
import { requireCertificatesDirectory } from "./require-certificates-directory.ts";
import { runtimeDir } from "./runtime-dir.ts";

/** Adds the images of an archive to the store of the oci or microvm runtime and prints their references. */
export async function loadImages(config: Config, file: string): Promise<number> {
  if (config.runtime.kind === "kubernetes") {
    throw new AirlockError("the kubernetes runtime has no store of images: the cluster's nodes pull them", {
      code: "invalid-configuration",
      hint: "Push the images to a registry, or import them on the nodes.",
    });
  }
  await requireCertificatesDirectory(config);
  const runtime =
    config.runtime.kind === "microvm"
      ? await openMicrovmRuntime({ ...(await microvmOptions(config, runtimeDir(config))), choice: "installed" })
      : await createOciRuntime(ociOptions(config, runtimeDir(config)));
  try {
    for (const reference of await runtime.loadImages(file, { signal: new AbortController().signal }))
      console.log(reference);
    return 0;
  } finally {
    await runtime.close();
  }
}
