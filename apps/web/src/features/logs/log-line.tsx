import type { CSSProperties, MouseEvent, Ref } from "react";
import { absoluteTime } from "../../ui/time-words.ts";
import type { LogLine } from "./line-buffer.ts";
import { clockTime, type TimeMode, timeSince } from "./log-times.ts";
import classes from "./log-viewer.module.css";
import type { Match } from "./search.ts";
import { segmentLine } from "./segments.ts";
import { cssOfStyle } from "./style-css.ts";

const sourceClasses = { stdout: undefined, stderr: classes.stderr, note: classes.own } as const;
const sourceWords = { stdout: "", stderr: ", standard error", note: ", message of the executor" } as const;

interface LogLineRowProps {
  readonly line: LogLine;
  /** Starts at 1. */
  readonly number: number;
  readonly timeMode: TimeMode;
  /** When the command started, in ms since 1970. */
  readonly startMs: number;
  readonly matches: readonly Match[];
  readonly currentMatch: Match | undefined;
  readonly marked: boolean;
  readonly style: CSSProperties;
  readonly index: number;
  readonly ref?: Ref<HTMLDivElement>;
  readonly onNumberClick: (number: number, event: MouseEvent) => void;
}

/** One line of a log. The untrusted text only becomes text nodes, never markup. */
export function LogLineRow(props: LogLineRowProps) {
  const { line, number, timeMode, matches, currentMatch, marked, style, index, ref, onNumberClick } = props;
  const names = [classes.line, sourceClasses[line.source], marked && classes.marked];
  return (
    <div
      ref={ref}
      className={names.filter(Boolean).join(" ")}
      style={style}
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
      <span className={classes.text}>
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
}
