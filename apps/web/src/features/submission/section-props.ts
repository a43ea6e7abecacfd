import type { FormValues } from "./form-model.ts";

/** What each section of the submit form is given. */
export interface SectionProps {
  readonly values: FormValues;
  /** The problem of the field with this path in a job's specification. */
  readonly errorOf: (path: string) => string | undefined;
  readonly change: (part: Partial<FormValues>) => void;
}
