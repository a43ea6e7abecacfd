import { z } from "zod";

/** How to react to programs that are older than their safe versions. */
export const versionVariables = {
  EXECUTOR_MINIMUM_VERSIONS: z.enum(["warn", "refuse"], { error: "must be warn or refuse" }).default("warn").meta({
    description:
      "What to do if git, crun, runc, runsc or the Docker engine is older than the versions known to be safe.",
  }),
};
