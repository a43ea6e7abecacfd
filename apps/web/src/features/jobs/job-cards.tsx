import type { JobSummary } from "@airlock/api";
import { Anchor, Group, Paper, Stack, Text } from "@mantine/core";
import { Link } from "react-router";
import { RelativeTime } from "../../ui/relative-time.tsx";
import { JobDuration } from "./job-duration.tsx";
import { JobExecutor } from "./job-executor.tsx";
import classes from "./job-list.module.css";
import { JobSource } from "./job-source.tsx";
import { queueWords } from "./queue-words.ts";
import { SelectJob } from "./select-job.tsx";
import { StateBadge } from "./state-badge.tsx";
import { StepKeys } from "./step-keys.tsx";
import type { Selection } from "./use-selection.ts";

/** The list of jobs for narrow screens. */
interface JobCardsProps {
  readonly jobs: readonly JobSummary[];
  readonly selection: Selection;
}

export function JobCards({ jobs, selection }: JobCardsProps) {
  return (
    <Stack gap="xs">
      {jobs.map((job) => (
        <Paper
          key={job.id}
          withBorder
          p="sm"
          bg="var(--airlock-surface)"
          className={classes.row ?? ""}
          data-job={job.id}
        >
          <Group justify="space-between" mb={6} wrap="nowrap">
            <Group gap="xs">
              <SelectJob id={job.id} selection={selection} />
              <Anchor component={Link} to={`/jobs/${job.id}`} className={classes.link ?? ""} data-job-link fw={600}>
                #{job.id}
              </Anchor>
            </Group>
            <StateBadge job={job} />
          </Group>
          <JobSource job={job} />
          <Text component="div" c="dimmed">
            <StepKeys keys={job.stepKeys} />
          </Text>
          {job.obstacle !== null && <JobExecutor job={job} />}
          <Group justify="space-between" mt={6} gap="xs">
            <Text size="sm" c="dimmed" truncate maw="60%">
              {queueWords(job)}
              {job.executor && ` · ${job.executor}`}
            </Text>
            <Text size="sm" c="dimmed" component="div">
              <JobDuration job={job} /> · <RelativeTime at={job.queuedAt} />
            </Text>
          </Group>
        </Paper>
      ))}
    </Stack>
  );
}
