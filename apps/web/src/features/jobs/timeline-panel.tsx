import type { JobView } from "@airlock/api";
import { formatDuration, isFinished } from "@airlock/job";
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
import { type ReactNode, useRef } from "react";
import { Link } from "react-router";
import { useNow } from "../../ui/clock.ts";
import { growingDuration } from "../../ui/time-words.ts";
import { buildTimeline, foldRows, type TimelineGroup, type TimelinePart, type TimelineRow } from "./timeline.ts";
import classes from "./timeline-panel.module.css";
import { useShownRowInView } from "./use-shown-row-in-view.ts";

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
  const panel = useRef<HTMLElement>(null);
  const isShown = (row: TimelineRow) => row.kind === "entry" && row.entry.entryId === shownEntry;
  const failedRowIsShown = groups.some(({ rows }) => rows.some((row) => isShown(row) && row.status === "failed"));
  // On a narrow screen the log is below the timeline, so both are visible only from the timeline's top on.
  const pageScroll = narrow ? "to-timeline" : "to-row";
  useShownRowInView(panel, `${attempt}.${shownEntry}`, failedRowIsShown ? pageScroll : "none");

  const renderRow = (row: TimelineRow) => (
    <Row
      key={row.kind === "entry" ? row.entry.entryId : `step ${row.label}`}
      row={row}
      spanMs={spanMs}
      shown={isShown(row)}
      href={row.kind === "entry" ? entryHref(row.entry.entryId) : undefined}
    />
  );
  const renderPart = (part: TimelinePart) =>
    part.kind === "row" ? (
      renderRow(part.row)
    ) : (
      <Fold key={`fold ${part.rows[0]?.label}`} part={part} open={part.rows.some(isShown)}>
        {part.rows.map(renderRow)}
      </Fold>
    );
  return (
    <Paper
      component="nav"
      ref={panel}
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
          open={!narrow || group.name === "Steps" || group.rows.some((row) => row.status === "failed" || isShown(row))}
        >
          {narrow && group.name === "Steps" ? foldRows(group.rows).map(renderPart) : group.rows.map(renderRow)}
        </Group>
      ))}
      {groups.length === 0 && (
        <Text size="sm" c="dimmed" p="xs">
          {isFinished(job.state) ? "Nothing ran." : "Nothing has run yet."}
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

interface FoldProps {
  readonly part: TimelinePart & { readonly kind: "fold" };
  readonly open: boolean;
  readonly children: ReactNode;
}

/** Neighbouring rows with the same status, as one line that opens. */
function Fold({ part: { rows, status }, open, children }: FoldProps) {
  const { word, icon: Picture, color } = statusWords[status];
  return (
    <li>
      <details open={open}>
        <summary className={`${classes.row} ${classes.fold}`}>
          <Picture size={17} stroke={2} color={color} className={classes.icon} aria-hidden />
          <span className={classes.label}>
            {rows.length} steps {word}
          </span>
        </summary>
        <ul className={classes.list}>{children}</ul>
      </details>
    </li>
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
