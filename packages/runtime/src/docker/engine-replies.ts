import { z } from "zod";

// Replies of the Engine API, reduced to the fields that we use.
// https://docs.docker.com/reference/api/engine/version/v1.41/

export const ErrorReply = z.object({ message: z.string() });

export const VersionReply = z.object({
  Version: z.string(),
  ApiVersion: z.string(),
  MinAPIVersion: z.string().optional(),
  Components: z.array(z.object({ Name: z.string(), Version: z.string() })).optional(),
});
export type VersionReply = z.infer<typeof VersionReply>;

export const InfoReply = z.object({
  NCPU: z.number(),
  MemoryLimit: z.boolean(),
  SwapLimit: z.boolean(),
  CpuCfsPeriod: z.boolean(),
  CpuCfsQuota: z.boolean(),
  PidsLimit: z.boolean(),
  OSType: z.string(),
  SecurityOptions: z.array(z.string()).nullish(),
  /** Architecture as printed by `uname -m`. */
  Architecture: z.string().optional(),
  CgroupDriver: z.string().optional(),
  CgroupVersion: z.string().optional(),
  DockerRootDir: z.string().optional(),
  Runtimes: z.record(z.string(), z.object({ path: z.string().optional() })).nullish(),
});
export type InfoReply = z.infer<typeof InfoReply>;

/** Directories of an image or a container on the engine's machine, keyed by the names that the storage driver uses. */
const GraphDriver = z.object({ Name: z.string().optional(), Data: z.record(z.string(), z.string()).nullish() });

export const ImageReply = z.object({
  Id: z.string(),
  Os: z.string().optional(),
  Architecture: z.string().optional(),
  Size: z.number().optional(),
  RepoTags: z.array(z.string()).nullish(),
  Config: z
    .object({
      User: z.string().nullish(),
      WorkingDir: z.string().nullish(),
      Volumes: z.record(z.string(), z.unknown()).nullish(),
      Env: z.array(z.string()).nullish(),
    })
    .nullish(),
  GraphDriver: GraphDriver.nullish(),
});
export type ImageReply = z.infer<typeof ImageReply>;

export const CreatedReply = z.object({ Id: z.string() });

export const ExecReply = z.object({ Running: z.boolean(), ExitCode: z.number().nullable() });

export const ContainerReply = z.object({
  State: z.object({ Running: z.boolean(), OOMKilled: z.boolean(), ExitCode: z.number(), Error: z.string() }),
});

/** Paths on the engine's machine where a container's writes end up. */
export const ContainerPathsReply = z.object({
  /** Empty if the engine created none, e.g. for a container without a network. */
  HostsPath: z.string().optional(),
  HostnamePath: z.string().optional(),
  ResolvConfPath: z.string().optional(),
  GraphDriver: GraphDriver.nullish(),
  Mounts: z.array(z.object({ Type: z.string(), Source: z.string().optional(), Name: z.string().optional() })).nullish(),
});

export const ContainerSizeReply = z.object({ SizeRw: z.number().optional() });

export const DiskUseReply = z.object({
  Volumes: z.array(z.object({ Name: z.string(), UsageData: z.object({ Size: z.number() }).nullish() })).nullish(),
});

export type ContainerState = z.infer<typeof ContainerReply>["State"];

export const TopReply = z.object({ Processes: z.array(z.array(z.string())).nullable() });

const labels = z.record(z.string(), z.string()).nullish();

export const ContainerListReply = z.array(
  z.object({ Id: z.string(), Names: z.array(z.string()), State: z.string(), Labels: labels }),
);

export const NetworkListReply = z.array(
  z.object({ Id: z.string(), Name: z.string(), Labels: labels, Options: z.record(z.string(), z.string()).nullish() }),
);

export const EventReply = z.object({
  Action: z.string(),
  Actor: z.object({ Attributes: z.record(z.string(), z.string()) }),
});

/** One line of the reply to a pull or an import. */
export const ProgressReply = z.object({
  status: z.string().optional(),
  id: z.string().optional(),
  progressDetail: z.object({ current: z.number().optional(), total: z.number().optional() }).optional(),
  errorDetail: z.object({ message: z.string().optional(), code: z.number().optional() }).optional(),
  error: z.string().optional(),
});
export type ProgressReply = z.infer<typeof ProgressReply>;
