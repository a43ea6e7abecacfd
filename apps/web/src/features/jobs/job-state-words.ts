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
  queued: { word: "Queued", icon: IconClock, color: "gray", meaning: "Waiting for an executor." },
  processing: { word: "Running", icon: IconLoader2, color: "blue", spins: true, meaning: "Running on an executor." },
  completed: { word: "Completed", icon: IconCircleCheck, color: "green", meaning: "Every step succeeded." },
  failed: { word: "Failed", icon: IconCircleX, color: "red", meaning: "A step of the job failed." },
  errored: {
    word: "Errored",
    icon: IconAlertTriangle,
    color: "orange",
    meaning: "Airlock could not run the job, and no attempts are left.",
  },
  canceled: { word: "Canceled", icon: IconBan, color: "gray", meaning: "The job was canceled." },
};

const canceling: StateWords = {
  word: "Canceling",
  icon: IconPlayerStop,
  color: "gray",
  meaning: "The job was canceled; its executor is stopping it.",
};

export function wordsOf(job: { readonly state: JobState; readonly cancelRequested?: boolean }): StateWords {
  return job.state === "processing" && job.cancelRequested ? canceling : jobStateWords[job.state];
}
