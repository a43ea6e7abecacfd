import type { JobSummary } from "@airlock/api";
import { Text } from "@mantine/core";
import { TickingDuration } from "../../ui/ticking-duration.tsx";

/** How long the job has run, or how long it has been waiting. */
export function JobDuration({ job }: { readonly job: JobSummary }) {
  if (job.state === "queued") {
    return (
      <>
        <Text size="sm" span style={{ fontVariantNumeric: "tabular-nums" }}>
          <TickingDuration from={job.queuedAt} to={null} />
        </Text>{" "}
        <Text size="xs" c="dimmed" span>
          waiting
        </Text>
      </>
    );
  }
  if (job.startedAt === null) {
    return (
      <Text size="sm" c="dimmed" span>
        never ran
      </Text>
    );
  }
  return (
    <Text size="sm" span style={{ fontVariantNumeric: "tabular-nums" }}>
      <TickingDuration from={job.startedAt} to={job.finishedAt} />
    </Text>
  );
}
