import type { FormValues } from "./form-model.ts";

/** Props of each section of the submit form. */
export interface SectionProps {
  readonly values: FormValues;
  /** The problem of the field with this path in the job's specification. */
  readonly errorOf: (path: string) => string | undefined;
  readonly change: (part: Partial<FormValues>) => void;
}
