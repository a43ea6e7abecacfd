import { z } from "zod";
import { durationMs, flag, sizeBytes, wholeNumber } from "../values/environment-values.ts";

/** A list of `HOST[:PORT]` as in a URL. Without a port, the host stands for the scheme's default port. */
const hostList = z
  .string()
  .default("")
  .transform((text, context) => {
    const hosts = text
      .split(",")
      .map((host) => host.trim().toLowerCase())
      .filter((host) => host !== "");
    for (const host of hosts) {
      if (!/^(?:[a-z0-9.-]+|\[[0-9a-f:.]+\])(?::\d{1,5})?$/.test(host)) {
        context.addIssue({
          code: "custom",
          message: `"${host}" is not a host: write it as git.example.com or HOST:PORT`,
        });
      }
    }
    return hosts;
  });

/** Workspaces. */
export const workspaceVariables = {
  EXECUTOR_MAXIMUM_CHECKOUT_SIZE: sizeBytes("20G")
    .refine((bytes) => bytes > 0, "must be more than 0")
    .meta({ description: "Maximum size of one checkout." }),
  EXECUTOR_MAXIMUM_CHECKOUT_FILES: wholeNumber(2_000_000, 1).meta({
    description: "How many files one checkout may have.",
  }),
  EXECUTOR_MAXIMUM_CHECKOUT_TIME: durationMs("10m")
    .refine((ms) => ms > 0, "must be longer than 0")
    .meta({ description: "How long fetching and checking out may take together." }),
  EXECUTOR_GIT_SUBMODULES: z
    .enum(["none", "direct", "recursive"], { error: "must be none, direct or recursive" })
    .default("none")
    .meta({ description: "Which submodules to check out for jobs that ask for them, at most." }),
  EXECUTOR_GIT_SUBMODULE_HOSTS: hostList.meta({
    description: "Additional hosts from which submodules may be fetched.",
    default: "none",
    values: "hosts, separated by commas: `git.example.com`, `HOST:PORT`",
  }),
  EXECUTOR_GIT_LFS: flag(false).meta({
    description: "Whether Git LFS files are checked out with their content. Otherwise their pointer files stay.",
  }),
  EXECUTOR_GIT_LFS_HOSTS: hostList.meta({
    description: "Additional hosts from which Git LFS objects may be fetched.",
    default: "none",
    values: "hosts, separated by commas: `git.example.com`, `HOST:PORT`",
  }),
  EXECUTOR_MIRROR_CACHE_SIZE: sizeBytes("20G").meta({
    description:
      "Maximum size of mirrors and prepared checkouts together. The least recently used ones are removed first.",
  }),
  EXECUTOR_WORKSPACE_MOUNTS: z
    .enum(["auto", "always", "never"], { error: "must be auto, always or never" })
    .default("auto")
    .meta({
      description:
        "Whether each workspace is a mount with its own size limit. `auto`: if the runtime is sure to see the mount.",
    }),
  EXECUTOR_KEEP_WORKSPACES: flag(false).meta({
    description: "Whether to keep workspaces after their jobs, for debugging. They are never removed then.",
  }),
  NODE_EXTRA_CA_CERTS: z.string().optional().meta({
    description: "File with additional certificate authorities (PEM), for the instance, registries and git.",
    default: "none",
    values: "a path",
  }),
};
