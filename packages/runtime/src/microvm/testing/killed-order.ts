import type { OpenMicrovmOptions } from "../open-microvm-runtime.ts";

/** The argument of `killed-main.ts`. */
export interface KilledOrder {
  readonly what: "job" | "collect";
  /** Of the job's sandbox. */
  readonly id: string;
  readonly owner: string;
  readonly image: string;
  readonly options: OpenMicrovmOptions;
}
