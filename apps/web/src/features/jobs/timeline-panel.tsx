import type { JobView } from "@airlock/api";
import { formatDuration } from "@airlock/job";
import { Paper, Text } from "@mantine/core";
import { useMediaQuery } from "@mantine/hooks";
import {
  type Icon,
  IconAlertTriangle,
  IconCircleCheck,
  IconCircleDashed,
  IconCircleMinus,
  IconCircleX,
  IconLoader2,
} from "@tabler/icons-react";
import type { ReactNode } from "react";
import { Link } from "react-router";
import { useNow } from "../../ui/clock.ts";
import { growingDuration } from "../../ui/time-words.ts";
import { buildTimeline, type TimelineGroup, type TimelineRow } from "./timeline.ts";
import classes from "./timeline-panel.module.css";

interface TimelinePanelProps {
  readonly job: JobView;
  readonly attempt: number;
  /** Id of the entry whose log is shown. */
  readonly shownEntry: number | undefined;
  /** URL of an entry's log. */
  readonly entryHref: (entryId: number) => string;
}

export function TimelinePanel({ job, attempt, shownEntry, entryHref }: TimelinePanelProps) {
  const narrow = useMediaQuery("(max-width: 62em)", undefined, { getInitialValueInEffect: false });
  const { groups, spanMs } = buildTimeline(job, attempt, useNow());
  return (
    <Paper
      component="nav"
      withBorder
      bg="var(--airlock-surface)"
      p="xs"
      aria-label="Timeline"
      className={classes.panel ?? ""}
    >
      {groups.map((group) => (
        <Group
          key={group.name}
          group={group}
          open={!narrow || group.name === "Steps" || group.rows.some((row) => row.status === "failed")}
        >
          {group.rows.map((row) => (
            <Row
              key={row.kind === "entry" ? row.entry.entryId : `step ${row.label}`}
              row={row}
              spanMs={spanMs}
              shown={row.kind === "entry" && row.entry.entryId === shownEntry}
              href={row.kind === "entry" ? entryHref(row.entry.entryId) : undefined}
            />
          ))}
        </Group>
      ))}
      {groups.length === 0 && (
        <Text size="sm" c="dimmed" p="xs">
          Nothing has run yet.
        </Text>
      )}
    </Paper>
  );
}

interface GroupProps {
  readonly group: TimelineGroup;
  readonly open: boolean;
  readonly children: ReactNode;
}

function Group({ group, open, children }: GroupProps) {
  return (
    <details className={classes.group} open={open}>
      <summary className={classes.heading}>
        <span>{group.name}</span>
        {group.durationMs > 0 && <span>{formatDuration(group.durationMs)}</span>}
      </summary>
      <ul className={classes.list}>{children}</ul>
    </details>
  );
}

const statusWords: Readonly<Record<TimelineRow["status"], { word: string; icon: Icon; color: string }>> = {
  running: { word: "running", icon: IconLoader2, color: "var(--mantine-color-blue-text)" },
  succeeded: { word: "succeeded", icon: IconCircleCheck, color: "var(--mantine-color-green-text)" },
  failed: { word: "failed", icon: IconCircleX, color: "var(--mantine-color-red-text)" },
  "cut-off": { word: "cut off", icon: IconAlertTriangle, color: "var(--mantine-color-orange-text)" },
  pending: { word: "to come", icon: IconCircleDashed, color: "var(--mantine-color-dimmed)" },
  skipped: { word: "not run", icon: IconCircleMinus, color: "var(--mantine-color-dimmed)" },
};

interface RowProps {
  readonly row: TimelineRow;
  readonly spanMs: number;
  readonly shown: boolean;
  readonly href: string | undefined;
}

function Row({ row, spanMs, shown, href }: RowProps) {
  const { word, icon: Picture, color } = statusWords[row.status];
  const body = (
    <>
      <Picture
        size={17}
        stroke={2}
        color={color}
        className={`${classes.icon} ${row.status === "running" ? "spin" : ""}`}
        aria-label={word}
      />
      <span className={classes.label} title={row.label}>
        {row.label}
      </span>
      {row.kind === "entry" && row.status === "failed" && (
        <span className={classes.exit}>{exitWords(row.entry.exitCode)}</span>
      )}
      <span className={classes.duration}>
        {row.kind === "step"
          ? word
          : row.status === "running"
            ? growingDuration(row.durationMs)
            : formatDuration(row.durationMs)}
      </span>
      {row.kind === "entry" && (
        <span className={classes.track} aria-hidden>
          <span
            className={classes.bar}
            style={{
              left: `${(row.offsetMs / spanMs) * 100}%`,
              width: `${(row.durationMs / spanMs) * 100}%`,
              background: color,
            }}
          />
        </span>
      )}
    </>
  );
  return (
    <li>
      {href === undefined ? (
        <div className={`${classes.row} ${classes.idle}`}>{body}</div>
      ) : (
        <Link
          className={classes.row}
          to={href}
          aria-current={shown ? "true" : undefined}
          data-entry-link
          replace
          preventScrollReset
        >
          {body}
        </Link>
      )}
    </li>
  );
}

export function exitWords(exitCode: number | null): string {
  if (exitCode === null) return "no exit code";
  return exitCode < 0 ? "killed" : `exit ${exitCode}`;
}
