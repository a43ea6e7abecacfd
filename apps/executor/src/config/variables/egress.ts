import { z } from "zod";
import { flag } from "../environment-values.ts";

/** Networks of jobs. */
export const egressVariables = {
  EXECUTOR_DEFAULT_EGRESS: z
    .enum(["none", "public"], { error: "must be none or public" })
    .default("public")
    .meta({ description: "Network of jobs whose instance has no words for it." }),
  EXECUTOR_DOCKER_ADD_HOST_GATEWAY: flag(false).meta({
    description:
      "Whether steps of the docker runtime that have a network know this machine as host.docker.internal; it stays closed to them, whatever their egress policy.",
  }),
};
