import type { RuntimeChoice } from "../../select-runtime.ts";

/** What the program of `run-step-main.ts` is to run. */
export interface StepOrder {
  readonly choice: RuntimeChoice;
  /** Whom the program becomes before; `null`: it stays who it is. */
  readonly user: { readonly uid: number; readonly gid: number } | null;
  readonly owner: string;
  readonly image: string;
  /** To be loaded into the oci runtime's store first; `null`: the image is there. */
  readonly imageArchive: string | null;
  readonly script: string;
}
