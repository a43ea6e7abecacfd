import { IconChevronDown, IconChevronRight } from "@tabler/icons-react";
import { type MouseEvent, memo, type Ref } from "react";
import { absoluteTime } from "../../ui/time-words.ts";
import { visibleText } from "../../ui/visible-text.ts";
import type { LineBuffer } from "./line-buffer.ts";
import type { LogGroup } from "./log-groups.ts";
import { clockTime, type TimeMode, timeSince } from "./log-times.ts";
import classes from "./log-viewer.module.css";
import type { LogSearch, Match } from "./search.ts";
import { segmentLine } from "./segments.ts";
import { cssOfStyle } from "./style-css.ts";

const sourceClasses = { stdout: undefined, stderr: classes.stderr, note: classes.own } as const;
const sourceWords = { stdout: "", stderr: ", standard error", note: ", message of the executor" } as const;

interface LogLineRowProps {
  readonly buffer: LineBuffer;
  /** Index in the buffer, from 0. */
  readonly lineIndex: number;
  /** Changes whenever the line does. */
  readonly version: number;
  /** Distance from the top of the laid out rows, in pixels. */
  readonly top: number;
  readonly timeMode: TimeMode;
  /** When the command started, in ms since 1970. */
  readonly startMs: number;
  readonly search: LogSearch | undefined;
  /** The match that the reader steps to, if it is in this line. */
  readonly currentMatch: Match | undefined;
  readonly marked: boolean;
  /** Index of the row for the virtualizer. */
  readonly index: number;
  readonly ref?: Ref<HTMLDivElement>;
  readonly onNumberClick: (number: number, event: MouseEvent) => void;
  readonly folded: boolean;
  readonly onFold: (group: LogGroup) => void;
}

/**
 * One line of a log. The untrusted text only becomes text nodes, never markup. Memoized, because a live log renders many
 * times per second.
 */
export const LogLineRow = memo(function LogLineRow(props: LogLineRowProps) {
  const { buffer, lineIndex, timeMode, search, currentMatch, marked, index, ref, onNumberClick } = props;
  const line = buffer.line(lineIndex);
  const number = lineIndex + 1;
  const matches = search?.inLine(lineIndex) ?? [];
  const group = buffer.groups.startingAt(lineIndex);
  const names = [classes.line, sourceClasses[line.source], marked && classes.marked, group && classes.heading];
  return (
    <div
      ref={ref}
      className={names.filter(Boolean).join(" ")}
      style={{ transform: `translateY(${props.top}px)` }}
      data-index={index}
      data-source={line.source}
    >
      {/* biome-ignore lint/a11y/useAnchorContent: the style sheet draws the number, so that it is not copied */}
      <a
        className={classes.number}
        href={`#L${number}`}
        data-number={number}
        aria-label={`Line ${number}${sourceWords[line.source]}`}
        tabIndex={-1}
        onClick={(event) => onNumberClick(number, event)}
      />
      {timeMode !== "off" && (
        <span className={classes.time} data-time title={line.timeMs === undefined ? "" : absoluteTime(line.timeMs)}>
          {line.timeMs !== undefined &&
            (timeMode === "absolute" ? clockTime(line.timeMs) : timeSince(props.startMs, line.timeMs))}
        </span>
      )}
      {/* Outside the text element, so that output can't imitate it. */}
      {line.source === "note" && <span className={classes.executor}>Executor</span>}
      {group && <FoldButton group={group} text={line.text} folded={props.folded} onFold={props.onFold} />}
      <span className={classes.text}>
        {group && line.text === "" && visibleText(group.name)}
        {segmentLine(line, matches).map(({ text, style: look, match }, position) => {
          const current =
            match !== undefined && currentMatch?.line === match.line && currentMatch.start === match.start;
          return (
            <span
              // biome-ignore lint/suspicious/noArrayIndexKey: segments have no other identity
              key={position}
              style={match ? {} : cssOfStyle(look)}
              className={match && (current ? classes.currentMatch : classes.match)}
              data-current-match={current || undefined}
            >
              {text}
            </span>
          );
        })}
        {line.dropped > 0 && (
          <span className={classes.cut}>… {line.dropped.toLocaleString("en")} more characters: see the download</span>
        )}
      </span>
    </div>
  );
});

interface FoldButtonProps {
  readonly group: LogGroup;
  readonly text: string;
  readonly folded: boolean;
  readonly onFold: (group: LogGroup) => void;
}

/** Folds a group. A group that did not end has no button, because folded it would hide what is printed now. */
function FoldButton({ group, text, folded, onFold }: FoldButtonProps) {
  const hidden = group.end === undefined ? 0 : group.end - group.start;
  if (hidden === 0) return null;
  const Chevron = folded ? IconChevronRight : IconChevronDown;
  const count = `${hidden.toLocaleString("en")} ${hidden === 1 ? "line" : "lines"}`;
  return (
    <button
      type="button"
      className={classes.fold}
      aria-expanded={!folded}
      aria-label={`Group ${text || group.name}, ${count}`}
      title={count}
      onClick={() => onFold(group)}
    >
      <Chevron size={14} aria-hidden />
      {folded && <span className={classes.foldCount}>{count}</span>}
    </button>
  );
}
