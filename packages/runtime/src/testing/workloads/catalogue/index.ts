import type { Workload } from "../workload.ts";
import { compilers } from "./compilers.ts";
import { files } from "./files.ts";
import { images } from "./images.ts";
import { packageManagers } from "./package-managers.ts";
import { processes } from "./processes.ts";

export { refusals } from "./refusals.ts";

export const workloads: readonly Workload[] = [...packageManagers, ...compilers, ...processes, ...files, ...images];
