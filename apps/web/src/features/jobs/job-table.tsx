import type { JobSummary } from "@airlock/api";
import { Anchor, Checkbox, Table, Text } from "@mantine/core";
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

interface JobTableProps {
  readonly jobs: readonly JobSummary[];
  readonly selection: Selection;
}

export function JobTable({ jobs, selection }: JobTableProps) {
  const ids = jobs.map(({ id }) => id);
  const selected = ids.filter((id) => selection.has(id)).length;
  return (
    <div className={classes.frame}>
      <Table
        verticalSpacing="sm"
        horizontalSpacing="md"
        highlightOnHover
        highlightOnHoverColor="color-mix(in srgb, var(--airlock-hover) 50%, transparent)"
        className={classes.table ?? ""}
      >
        <Table.Thead>
          <Table.Tr>
            <Table.Th w={44}>
              <Checkbox
                size="xs"
                aria-label="Select all jobs of this page"
                checked={selected > 0 && selected === ids.length}
                indeterminate={selected > 0 && selected < ids.length}
                onChange={(event) => selection.setAll(ids, event.currentTarget.checked)}
              />
            </Table.Th>
            <Table.Th w={80}>Job</Table.Th>
            <Table.Th w={156}>State</Table.Th>
            <Table.Th>Repository and steps</Table.Th>
            <Table.Th w="20%">Queue and executor</Table.Th>
            <Table.Th w={140}>Duration</Table.Th>
            <Table.Th w={124}>Submitted</Table.Th>
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {jobs.map((job) => (
            <Table.Tr key={job.id} className={classes.row ?? ""} data-job={job.id}>
              <Table.Td>
                <SelectJob id={job.id} selection={selection} />
              </Table.Td>
              <Table.Td>
                <Anchor component={Link} to={`/jobs/${job.id}`} className={classes.link ?? ""} data-job-link fw={600}>
                  #{job.id}
                </Anchor>
              </Table.Td>
              <Table.Td>
                <StateBadge job={job} />
              </Table.Td>
              <Table.Td>
                <JobSource job={job} />
                <Text component="div" c="dimmed">
                  <StepKeys keys={job.stepKeys} />
                </Text>
              </Table.Td>
              <Table.Td>
                <Text size="sm" truncate title={queueWords(job)}>
                  {queueWords(job)}
                </Text>
                <JobExecutor job={job} />
              </Table.Td>
              <Table.Td>
                <JobDuration job={job} />
                {job.attempt > 1 && (
                  <Text size="xs" c="dimmed">
                    attempt {job.attempt}
                  </Text>
                )}
              </Table.Td>
              <Table.Td>
                <Text size="sm" c="dimmed" component="div">
                  <RelativeTime at={job.queuedAt} />
                </Text>
              </Table.Td>
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
    </div>
  );
}
