import { z } from "zod";
import { flag } from "../environment-values.ts";

/** Networks of jobs. */
export const egressVariables = {
  EXECUTOR_DEFAULT_EGRESS: z.enum(["none", "public"], { error: "must be none or public" }).default("public"),
  EXECUTOR_DOCKER_ADD_HOST_GATEWAY: flag(false),
};
