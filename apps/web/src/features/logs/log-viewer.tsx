import { formatBytes } from "@airlock/job";
import { Button, Loader } from "@mantine/core";
import { IconArrowDown } from "@tabler/icons-react";
import { useVirtualizer } from "@tanstack/react-virtual";
import {
  type KeyboardEvent,
  type MouseEvent,
  type UIEvent,
  useCallback,
  useEffect,
  useLayoutEffect,
  useRef,
  useState,
  useSyncExternalStore,
} from "react";
import { useShortcuts } from "../../ui/keyboard/use-shortcuts.ts";
import type { JobLog } from "./job-log.ts";
import type { LineBuffer } from "./line-buffer.ts";
import { WholeCommand } from "./log-command.tsx";
import type { LogGroup } from "./log-groups.ts";
import { LogLineRow } from "./log-line.tsx";
import { nextTimeMode, useTimeMode } from "./log-times.ts";
import { LogToolbar } from "./log-toolbar.tsx";
import classes from "./log-viewer.module.css";
import type { LineRange } from "./permalink.ts";
import { firstMatchFrom } from "./search.ts";
import { useFolding } from "./use-folding.ts";
import { useLogSearch } from "./use-log-search.ts";

const rowHeight = 20;
/**
 * Number of rows laid out at once. Browsers limit an element's height (Firefox to about 17.8 million pixels). Longer
 * logs are shown in windows of this length that overlap by half.
 */
const windowLength = 200_000;
const windowStep = windowLength / 2;

export interface LogViewerProps {
  readonly log: JobLog;
  /** The part of the log to show. */
  readonly buffer: LineBuffer;
  /** The command whose output this is. It may have many lines. */
  readonly command: string;
  /** The name of the whole command for screen readers. */
  readonly commandLabel: string;
  /** When the command started, in ms since 1970. */
  readonly startMs: number;
  /** Whether more output may come. */
  readonly live: boolean;
  /** Start at the end, because the cause of a failure is usually there. */
  readonly startAtEnd: boolean;
  /** The known length of the log in bytes. */
  readonly expectedBytes: number;
  /** Whether all output has arrived, or no more will. */
  readonly complete: boolean;
  readonly downloadHref: string;
  readonly downloadName: string;
  /** The lines that the page's URL selects. */
  readonly range: LineRange | undefined;
  readonly onRangeChange: (range: LineRange) => void;
}

/** The output of one command. Use a different `key` for each log, so that state is reset. */
export function LogViewer(props: LogViewerProps) {
  const { log, buffer, live, range, onRangeChange } = props;
  // Only the viewer renders as often as output arrives. The rest of the page has many parts that don't depend on it.
  const version = useSyncExternalStore(log.subscribe, log.version);
  const { lineCount } = buffer;
  const scroller = useRef<HTMLDivElement>(null);
  const searchField = useRef<HTMLInputElement>(null);
  const lastTop = useRef(0);
  const scrolledTo = useRef<LineRange>(undefined);
  const [wrap, setWrap] = useState(false);
  const [timeMode, setTimeMode] = useTimeMode();
  const [commandOpened, setCommandOpened] = useState(false);
  const [following, setFollowing] = useState((live || props.startAtEnd) && range === undefined);
  const [windowStart, setWindowStart] = useState(0);
  const [query, setQuery] = useState({ text: "", matchCase: false });
  const [matchIndex, setMatchIndex] = useState(-1);
  /** Where to scroll after the window that contains the line has been laid out. */
  const [target, setTarget] = useState<{ readonly line: number; readonly align: "center" | "start" | "end" }>();

  const folding = useFolding(buffer);
  const { rows, reveal } = folding;
  const rowCount = rows.count(lineCount);
  const found = useLogSearch(buffer, version, query);
  const matches = found?.matches ?? [];
  const currentMatch = matches[matchIndex];

  const lastWindowStart = Math.max(0, Math.ceil((rowCount - windowLength) / windowStep) * windowStep);
  const start = following ? lastWindowStart : Math.min(windowStart, lastWindowStart);
  const count = Math.min(windowLength, rowCount - start);

  const virtualizer = useVirtualizer({
    count,
    getScrollElement: () => scroller.current,
    estimateSize: () => rowHeight,
    overscan: 24,
    getItemKey: useCallback((index: number) => rows.lineAt(start + index), [rows, start]),
  });

  const scrollToLine = useCallback(
    (line: number, align: "center" | "start" | "end" = "center") => {
      setFollowing(false);
      reveal(line);
      setTarget({ line, align });
    },
    [reveal],
  );

  // A target may need another window, and has its row only after the groups around it were opened.
  // biome-ignore lint/correctness/useExhaustiveDependencies: scrolls once for each target, not as the log grows
  useLayoutEffect(() => {
    if (target === undefined) return;
    const row = rows.rowOf(target.line);
    if (row >= start && row < start + windowLength) virtualizer.scrollToIndex(row - start, { align: target.align });
    else setWindowStart(Math.min(lastWindowStart, Math.max(0, (Math.floor(row / windowStep) - 1) * windowStep)));
  }, [target, start]);

  const jumpToEnd = () => setFollowing(true);

  // biome-ignore lint/correctness/useExhaustiveDependencies: new lines and layout changes move the end
  useLayoutEffect(() => {
    const element = scroller.current;
    if (following && element) element.scrollTop = element.scrollHeight;
  }, [following, version, wrap, count, virtualizer.getTotalSize()]);

  // biome-ignore lint/correctness/useExhaustiveDependencies: the height of every row has changed
  useEffect(() => virtualizer.measure(), [wrap, timeMode]);

  useEffect(() => {
    if (range === undefined || range === scrolledTo.current || range.first > lineCount) return;
    scrolledTo.current = range;
    scrollToLine(range.first - 1);
  }, [range, lineCount, scrollToLine]);

  const onScroll = (event: UIEvent<HTMLDivElement>) => {
    const { scrollTop, scrollHeight, clientHeight } = event.currentTarget;
    const atEnd = scrollHeight - scrollTop - clientHeight < rowHeight;
    if (scrollTop < lastTop.current - 1 && !atEnd) {
      if (following) {
        setWindowStart(start);
        setFollowing(false);
      }
    } else if (atEnd && live && start === lastWindowStart) setFollowing(true);
    lastTop.current = scrollTop;
  };

  // The browser's own keys would stop at the end of the window, and where a live log ended when they were pressed.
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.shiftKey || event.altKey || event.metaKey) return;
    if (event.key === "End") jumpToEnd();
    else if (event.key === "Home") scrollToLine(0, "start");
    else return;
    event.preventDefault();
  };

  const goToMatch = (index: number) => {
    const match = matches[index];
    setMatchIndex(index);
    if (match) scrollToLine(match.line);
  };
  const stepMatch = (step: 1 | -1) => {
    if (matches.length === 0) return;
    const first = matchIndex === -1 && step === 1 ? firstMatchFrom(matches, visibleLine()) : undefined;
    goToMatch(first ?? (Math.max(matchIndex, step === -1 ? 0 : -1) + step + matches.length) % matches.length);
  };
  const visibleLine = () =>
    rows.lineAt(start + (virtualizer.getVirtualItemForOffset(scroller.current?.scrollTop ?? 0)?.index ?? 0));

  // Go to the first match at or below the visible lines, as soon as one is found.
  const waiting = found !== undefined && matchIndex === -1 && matches.length > 0;
  // biome-ignore lint/correctness/useExhaustiveDependencies: runs once for each query
  useEffect(() => {
    if (!waiting) return;
    const line = Math.max(0, visibleLine());
    const last = matches.at(-1);
    // The search stopped at its limit above the visible lines. Don't scroll; visible matches are highlighted anyway.
    if (found.search.full && last !== undefined && last.line < line) return;
    goToMatch(firstMatchFrom(matches, line));
  }, [waiting, query]);

  // Also scroll horizontally to a match far to the right in a long line.
  // biome-ignore lint/correctness/useExhaustiveDependencies: the row exists after the list has scrolled to it
  useEffect(() => {
    const frame = requestAnimationFrame(() =>
      requestAnimationFrame(() => {
        scroller.current
          ?.querySelector("[data-current-match]")
          ?.scrollIntoView({ block: "nearest", inline: "nearest" });
      }),
    );
    return () => cancelAnimationFrame(frame);
  }, [matchIndex, query]);

  const onNumberClick = useCallback(
    (number: number, event: MouseEvent) => {
      event.preventDefault();
      const from = event.shiftKey && range ? range.first : number;
      const next = { first: Math.min(from, number), last: Math.max(from, number) };
      // The reader clicked the line, so it is visible and needs no scrolling.
      scrolledTo.current = next;
      setFollowing(false);
      onRangeChange(next);
    },
    [onRangeChange, range],
  );

  // The line at the top stays there, although lines above it may appear or disappear.
  const keepingPlace = (change: () => void) => {
    if (!following) setTarget({ line: Math.max(0, visibleLine()), align: "start" });
    change();
  };
  const toggleGroups = () => keepingPlace(folding.toggleAll);
  const { toggle } = folding;
  const onFold = useCallback(
    (group: LogGroup) => {
      // The reader looks at this group now, wherever the log ends.
      if (following && !live) {
        setWindowStart(start);
        setFollowing(false);
      }
      toggle(group);
    },
    [following, live, start, toggle],
  );
  const isFolded = (line: number) => {
    const group = buffer.groups.startingAt(line);
    return group !== undefined && folding.isFolded(group);
  };

  useShortcuts({
    "/": () => searchField.current?.select(),
    n: () => stepMatch(1),
    p: () => stepMatch(-1),
    f: jumpToEnd,
    w: () => setWrap((on) => !on),
    t: () => setTimeMode(nextTimeMode(timeMode)),
    o: toggleGroups,
  });

  const items = virtualizer.getVirtualItems();
  return (
    <section className={classes.viewer} aria-label="Log">
      <LogToolbar
        {...props}
        commandOpened={commandOpened}
        onCommandToggle={() => setCommandOpened((on) => !on)}
        timeMode={timeMode}
        onTimeModeChange={setTimeMode}
        wrap={wrap}
        onWrapChange={setWrap}
        foldsGroups={folding.hasGroups ? folding.foldsAll : undefined}
        onFoldGroups={toggleGroups}
        query={query}
        onQueryChange={(next) => {
          setQuery(next);
          setMatchIndex(-1);
        }}
        found={
          query.text === ""
            ? undefined
            : {
                count: matches.length,
                index: matchIndex,
                done: found?.done ?? false,
                full: found?.search.full ?? false,
              }
        }
        onStepMatch={stepMatch}
        searchField={searchField}
        onLeaveSearch={() => scroller.current?.focus()}
      />
      {commandOpened && <WholeCommand command={props.command} label={props.commandLabel} />}
      {start > 0 && (
        <div className={classes.pager}>
          <Button size="compact-xs" variant="subtle" onClick={() => scrollToLine(rows.lineAt(start - 1), "end")}>
            Lines before {(rows.lineAt(start) + 1).toLocaleString("en")}
          </Button>
        </div>
      )}
      <div className={classes.frame}>
        <div
          ref={scroller}
          className={`${classes.scroller} ${wrap ? classes.wrap : ""}`}
          onScroll={onScroll}
          onKeyDown={onKeyDown}
          role="log"
          aria-live="off"
          aria-label="Output"
          // biome-ignore lint/a11y/noNoninteractiveTabindex: scrollable content must be reachable by keyboard
          tabIndex={0}
          data-following={following}
          style={{ ["--log-digits" as string]: String(Math.max(lineCount, 100)).length }}
        >
          {lineCount === 0 ? (
            <Nothing live={live} complete={props.complete} expectedBytes={props.expectedBytes} />
          ) : (
            <div className={classes.content} style={{ height: virtualizer.getTotalSize() }}>
              {items.map((item) => {
                const index = rows.lineAt(start + item.index);
                if (index >= lineCount) return null;
                return (
                  <LogLineRow
                    key={item.key}
                    {...(wrap ? { ref: virtualizer.measureElement } : {})}
                    index={item.index}
                    buffer={buffer}
                    lineIndex={index}
                    version={buffer.isSettled(index) ? 0 : version}
                    top={item.start}
                    timeMode={timeMode}
                    startMs={props.startMs}
                    search={found?.search}
                    currentMatch={currentMatch?.line === index ? currentMatch : undefined}
                    marked={range !== undefined && index + 1 >= range.first && index + 1 <= range.last}
                    folded={isFolded(index)}
                    onFold={onFold}
                    onNumberClick={onNumberClick}
                  />
                );
              })}
            </div>
          )}
        </div>
        {!following && rowCount * rowHeight > (scroller.current?.clientHeight ?? 0) && (
          <Button
            className={classes.jump ?? ""}
            size="compact-sm"
            radius="xl"
            leftSection={<IconArrowDown size={14} />}
            onClick={jumpToEnd}
          >
            {live ? "Follow" : "Jump to end"}
          </Button>
        )}
      </div>
      {start + count < rowCount && (
        <div className={classes.pager}>
          <Button size="compact-xs" variant="subtle" onClick={() => scrollToLine(rows.lineAt(start + count), "start")}>
            Lines after {rows.lineAt(start + count).toLocaleString("en")}
          </Button>
        </div>
      )}
      <Status {...props} following={following} />
    </section>
  );
}

function Nothing({ live, complete, expectedBytes }: Pick<LogViewerProps, "live" | "complete" | "expectedBytes">) {
  if (!complete && expectedBytes > 0) {
    return (
      <div className={classes.hint}>
        <Loader size="sm" />
        Loading the log
      </div>
    );
  }
  return <div className={classes.hint}>{live ? "Waiting for output…" : "This command printed nothing."}</div>;
}

function Status({
  buffer,
  live,
  complete,
  expectedBytes,
  following,
}: LogViewerProps & { readonly following: boolean }) {
  const loading = !complete && !live && buffer.byteLength < expectedBytes;
  return (
    <div className={classes.status}>
      <span>
        {buffer.lineCount.toLocaleString("en")} {buffer.lineCount === 1 ? "line" : "lines"}
      </span>
      <span>
        {loading
          ? `${formatBytes(buffer.byteLength)} of ${formatBytes(expectedBytes)}`
          : formatBytes(buffer.byteLength)}
      </span>
      {loading && <span>Loading…</span>}
      {live && <span>{following ? "Following" : "Not following: scroll to the end, or press f"}</span>}
    </div>
  );
}
