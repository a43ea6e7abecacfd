import type { AttemptView, JobView, LogEntryView } from "@airlock/api";
import { isFinished } from "@airlock/job";
import { Alert, Anchor, Text } from "@mantine/core";
import { IconAlertTriangle, IconBan, IconCircleX } from "@tabler/icons-react";
import { Link } from "react-router";
import { failureWords } from "./failure-words.ts";
import { entriesOf, entryLabel } from "./timeline.ts";
import { exitWords } from "./timeline-panel.tsx";

interface FailureCalloutProps {
  readonly job: JobView;
  readonly attempt: AttemptView;
  readonly entryHref: (entryId: number) => string;
  /** Id of the entry whose log is already shown. */
  readonly shownEntry: number | undefined;
}

/** Explains why an attempt did not complete and what to do next. */
export function FailureCallout({ job, attempt, entryHref, shownEntry }: FailureCalloutProps) {
  if (attempt.state === "processing" || attempt.state === "completed") return null;
  if (attempt.state === "canceled") {
    return (
      <Alert color="gray" icon={<IconBan />} title="Canceled">
        The job was canceled. Its executor stopped it and released its resources.
      </Alert>
    );
  }
  const words = failureWords[attempt.failureReason ?? (attempt.state === "failed" ? "step-failed" : "internal")];
  const culprit = entriesOf(job, attempt.attempt).find((entry) => entry.exitCode !== null && entry.exitCode !== 0);
  const ours = attempt.state === "errored";
  const again = ours && job.attempt > attempt.attempt;
  const title = culprit && attempt.failureReason === "step-failed" ? stepTitle(job, culprit) : words.title;
  return (
    <Alert
      color={ours ? "orange" : "red"}
      icon={ours ? <IconAlertTriangle /> : <IconCircleX />}
      // Name the attempt unless it decided the job's result.
      title={isFinished(job.state) && !again ? title : `Attempt ${attempt.attempt}: ${title}`}
      role="alert"
      p="sm"
    >
      {attempt.failureMessage && (
        <Text size="sm" style={{ whiteSpace: "pre-wrap", overflowWrap: "anywhere" }}>
          {attempt.failureMessage}
        </Text>
      )}
      <Text size="sm" c="dimmed" mt={attempt.failureMessage ? 4 : 0}>
        {hintOf(attempt) ?? words.hint}
        {again && ` Attempt ${job.attempt} took over.`}
      </Text>
      {culprit && culprit.entryId !== shownEntry && (
        <Anchor component={Link} to={entryHref(culprit.entryId)} replace preventScrollReset size="sm">
          Show the log of “{entryLabel(job, culprit)}” ({exitWords(culprit.exitCode)})
        </Anchor>
      )}
    </Alert>
  );
}

/** The message tells that the egress policy refused an address; the failure reason does not. */
function hintOf({ failureReason, failureMessage }: AttemptView): string | undefined {
  if (failureReason !== "step-failed" || !failureMessage?.includes("egress policy")) return undefined;
  return "If the step needs that address, add it to the job's egress rules. Only the executor's administrator can allow addresses that are denied by default, such as private ones.";
}

function stepTitle(job: JobView, entry: LogEntryView): string {
  const code = entry.exitCode ?? 0;
  const name = `“${entryLabel(job, entry)}”`;
  return code < 0 ? `${name} was killed` : `${name} exited with code ${code}`;
}
