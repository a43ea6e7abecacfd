import type { JobView, LogEntryView } from "@airlock/api";
import { Paper } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { readJobUsage } from "../../api-client/endpoints.ts";
import { queryKeys } from "../../api-client/query-client.ts";
import { LineChart } from "../../ui/charts/line-chart.tsx";
import { ErrorPanel } from "../../ui/error-panel.tsx";
import { entryLabel, stepIndexOf } from "../jobs/timeline.ts";
import { usageCharts } from "./usage-charts.ts";
import classes from "./usage-panel.module.css";

interface UsagePanelProps {
  readonly job: JobView;
  readonly entry: LogEntryView;
  /** Whether the attempt runs. */
  readonly live: boolean;
}

const pollMs = 5000;
/** Executors report nothing of shorter steps. */
const shortMs = 2000;

/** What the step of an entry used over time. */
export function UsagePanel({ job, entry, live }: UsagePanelProps) {
  const step = stepIndexOf(job, entry);
  const { data, error } = useQuery({
    queryKey: queryKeys.jobUsage(job.id, entry.attempt),
    queryFn: ({ signal }) => readJobUsage(job.id, entry.attempt, { signal }),
    enabled: step !== undefined,
    refetchInterval: live ? pollMs : false,
  });
  if (step === undefined) return null;
  if (error) return <ErrorPanel title="What the step used could not be loaded" error={error} />;
  const usage = data?.steps.find((each) => each.step === step);
  if (usage === undefined) {
    const isMissing = data !== undefined && !live && (entry.durationMs ?? 0) > shortMs;
    return isMissing ? <p className={classes.none}>The executor did not measure what this step used.</p> : null;
  }
  return (
    <Paper
      component="section"
      withBorder
      bg="var(--airlock-surface)"
      aria-label={`Usage of ${entryLabel(job, entry)}`}
      className={classes.panel ?? ""}
    >
      {usageCharts(usage).map(({ name, lines, top, limit, summary, nearLimit }) => (
        <figure key={name} className={classes.figure}>
          <figcaption className={classes.caption}>
            <strong>{name}</strong> <span className={nearLimit ? classes.near : undefined}>{summary}</span>
          </figcaption>
          {lines && (
            <LineChart label={`${name}: ${summary}`} lines={lines} top={top} limit={limit} alarming={nearLimit} />
          )}
        </figure>
      ))}
    </Paper>
  );
}
