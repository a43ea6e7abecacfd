import type { RuntimeChoice } from "../../select-runtime.ts";

/** The argument of `run-step-main.ts`. */
export interface StepOrder {
  readonly choice: RuntimeChoice;
  /** The user that the program changes to first; `null`: no change. */
  readonly user: { readonly uid: number; readonly gid: number } | null;
  readonly owner: string;
  readonly image: string;
  /** An archive to load into the oci runtime's store first; `null`: the image is already there. */
  readonly imageArchive: string | null;
  readonly script: string;
}
