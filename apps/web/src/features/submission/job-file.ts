import type { JobSpecInput } from "@airlock/api";
import { stringify } from "yaml";

/** A job as the text of a job.yaml. Scripts of several lines become block scalars. */
export function jobFile(spec: JobSpecInput): string {
  return stringify(spec, { lineWidth: 0, blockQuote: "literal" });
}
