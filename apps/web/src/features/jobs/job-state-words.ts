import type { JobState } from "@airlock/job";
import {
  type Icon,
  IconAlertTriangle,
  IconBan,
  IconCircleCheck,
  IconCircleX,
  IconClock,
  IconLoader2,
  IconPlayerStop,
} from "@tabler/icons-react";

export interface StateWords {
  readonly word: string;
  readonly icon: Icon;
  /** The name of a colour in the theme. */
  readonly color: string;
  readonly spins?: true;
  /** The meaning of the state in one sentence. */
  readonly meaning: string;
}

export const jobStateWords: Readonly<Record<JobState, StateWords>> = {
  queued: { word: "Queued", icon: IconClock, color: "gray", meaning: "Waits for an executor." },
  processing: { word: "Running", icon: IconLoader2, color: "blue", spins: true, meaning: "An executor runs it." },
  completed: { word: "Completed", icon: IconCircleCheck, color: "green", meaning: "Every step succeeded." },
  failed: { word: "Failed", icon: IconCircleX, color: "red", meaning: "The job's own fault: a step failed." },
  errored: {
    word: "Errored",
    icon: IconAlertTriangle,
    color: "orange",
    meaning: "Not the job's fault, and out of attempts.",
  },
  canceled: { word: "Canceled", icon: IconBan, color: "gray", meaning: "Somebody canceled it." },
};

const canceling: StateWords = {
  word: "Canceling",
  icon: IconPlayerStop,
  color: "gray",
  meaning: "Somebody canceled it; its executor stops it.",
};

export function wordsOf(job: { readonly state: JobState; readonly cancelRequested?: boolean }): StateWords {
  return job.state === "processing" && job.cancelRequested ? canceling : jobStateWords[job.state];
}
