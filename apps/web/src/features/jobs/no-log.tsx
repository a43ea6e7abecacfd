import type { AttemptView, JobView } from "@airlock/api";
import { isFinished } from "@airlock/job";
import { Text } from "@mantine/core";
import { IconBan, IconHourglass } from "@tabler/icons-react";
import classes from "./job-page.module.css";

interface NoLogProps {
  readonly job: JobView;
  /** `undefined`: no executor has taken the job. */
  readonly attempt: AttemptView | undefined;
}

/** Takes the place of the log of an attempt that has no log entry. */
export function NoLog({ job, attempt }: NoLogProps) {
  const over = attempt === undefined ? isFinished(job.state) : attempt.state !== "processing";
  const Picture = over ? IconBan : IconHourglass;
  return (
    <div className={classes.empty}>
      <Picture size={28} stroke={1.4} aria-hidden />
      {over ? (
        <>
          <Text size="sm" fw={600}>
            {attempt === undefined ? "This job never ran." : "This attempt ended before it ran anything."}
          </Text>
          <Text size="sm" style={{ whiteSpace: "pre-wrap", overflowWrap: "anywhere" }}>
            {reasonOf(job, attempt)}
          </Text>
        </>
      ) : (
        <Text size="sm">No output yet.</Text>
      )}
    </div>
  );
}

function reasonOf(job: JobView, attempt: AttemptView | undefined): string {
  if ((attempt ?? job).state === "canceled") {
    return attempt === undefined
      ? "It was canceled before an executor took it."
      : "It was canceled before its first command started.";
  }
  const message = (attempt ?? job).failureMessage ?? job.explanation.message;
  return message.charAt(0).toUpperCase() + message.slice(1);
}
