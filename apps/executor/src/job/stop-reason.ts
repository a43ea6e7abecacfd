/** Why a job was stopped from outside. Thrown as the abort reason of its signal. */
export class JobStopped extends Error {
  override readonly name = "JobStopped";
  readonly kind: "canceled" | "shutdown" | "lost";

  /** `lost`: the job is not ours any more, so nothing is reported. */
  constructor(kind: JobStopped["kind"], message: string) {
    super(message);
    this.kind = kind;
  }
}
