import type { JobSummary } from "@airlock/api";
import { Code, Group, Text, Tooltip } from "@mantine/core";

/** `repository@revision` and the short commit. */
export function JobSource({ job }: { readonly job: Pick<JobSummary, "repository" | "revision" | "commit"> }) {
  if (job.repository === null) {
    return (
      <Text size="sm" c="dimmed">
        no repository
      </Text>
    );
  }
  return (
    <Group gap={6} wrap="nowrap" miw={0}>
      <Tooltip label={`${job.repository}@${job.revision}`} withArrow multiline maw={480}>
        <Text size="sm" truncate>
          {job.repository}
          <Text span c="dimmed">
            @{job.revision}
          </Text>
        </Text>
      </Tooltip>
      {job.commit && job.commit !== job.revision && (
        <Code fz={11} title={job.commit} style={{ flex: "none" }}>
          {shortCommit(job.commit)}
        </Code>
      )}
    </Group>
  );
}

export function shortCommit(commit: string): string {
  return commit.slice(0, 8);
}
