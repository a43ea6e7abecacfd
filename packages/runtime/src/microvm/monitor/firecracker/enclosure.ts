import type { VmNetwork } from "../vm-monitor.ts";

/** Where one Firecracker process runs, and the files that it sees. */
export interface Enclosure extends AsyncDisposable {
  /** The directory that the process sees as its working directory. */
  readonly root: string;
  /** User and group id of the process. `null`: the executor's own. */
  readonly user: number | null;
  command(network: VmNetwork | null): readonly string[];
  /** Ends all processes that run in it, at once. */
  kill(): Promise<void>;
}
