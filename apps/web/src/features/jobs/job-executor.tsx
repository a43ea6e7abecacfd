import type { JobSummary } from "@airlock/api";
import { Group, Text, Tooltip } from "@mantine/core";
import { IconAlertTriangle } from "@tabler/icons-react";

/** The executor that runs the job or ran it last. For a queued job that no executor can run, the reason. */
export function JobExecutor({ job }: { readonly job: Pick<JobSummary, "executor" | "obstacle"> }) {
  if (job.obstacle !== null) {
    return (
      <Tooltip label={job.obstacle} withArrow multiline maw={420}>
        <Group
          gap={5}
          wrap="nowrap"
          c="var(--mantine-color-yellow-light-color)"
          data-tooltip
          data-obstacle
          w="fit-content"
        >
          <IconAlertTriangle size={15} stroke={2} aria-hidden style={{ flex: "none" }} />
          <Text size="sm" truncate>
            no executor for it
          </Text>
          <span className="visually-hidden">: {job.obstacle}</span>
        </Group>
      </Tooltip>
    );
  }
  return (
    <Text size="sm" c="dimmed" truncate title={job.executor ?? ""}>
      {job.executor ?? "no executor yet"}
    </Text>
  );
}
