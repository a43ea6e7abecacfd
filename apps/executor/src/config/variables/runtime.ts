import { z } from "zod";
import { flag } from "../environment-values.ts";

/** The runtime. */
export const runtimeVariables = {
  EXECUTOR_RUNTIME: z.enum(["auto", "docker", "oci"], { error: "must be auto, docker or oci" }).default("auto"),
  EXECUTOR_ALLOW_HOST_IMAGE: flag(false),
  EXECUTOR_USE_FIRECRACKER: flag(false).refine(
    (use) => !use,
    "asks for Firecracker, which this executor does not have: unset it and choose EXECUTOR_RUNTIME=docker or oci",
  ),
  DOCKER_HOST: z.string().optional(),
};
