/** The reason why a job was stopped from outside. Used as the abort reason of the job's signal. */
export class JobStopped extends Error {
  override readonly name = "JobStopped";
  readonly kind: "canceled" | "shutdown" | "lost";

  /** `lost`: another executor may have the job now, so this one reports nothing. */
  constructor(kind: JobStopped["kind"], message: string) {
    super(message);
    this.kind = kind;
  }
}
