import { newOwnMark } from "@airlock/api";
import { ActionIcon, TextInput, Tooltip } from "@mantine/core";
import {
  IconCheck,
  IconChevronDown,
  IconChevronUp,
  IconCopy,
  IconDownload,
  IconFold,
  IconLetterCase,
  IconSearch,
  IconTextWrap,
  IconX,
} from "@tabler/icons-react";
import { type KeyboardEvent, type RefObject, useState } from "react";
import type { LineBuffer } from "./line-buffer.ts";
import { LogCommand } from "./log-command.tsx";
import type { TimeMode } from "./log-times.ts";
import classes from "./log-viewer.module.css";
import type { SearchQuery } from "./search.ts";
import { TimeMenu } from "./time-menu.tsx";

interface LogToolbarProps {
  readonly buffer: LineBuffer;
  readonly command: string;
  readonly commandOpened: boolean;
  readonly onCommandToggle: () => void;
  readonly downloadHref: string;
  readonly downloadName: string;
  readonly timeMode: TimeMode;
  readonly onTimeModeChange: (mode: TimeMode) => void;
  readonly wrap: boolean;
  readonly onWrapChange: (wrap: boolean) => void;
  /** `undefined`: the log has no groups. */
  readonly foldsGroups: boolean | undefined;
  readonly onFoldGroups: () => void;
  readonly query: SearchQuery;
  readonly onQueryChange: (query: SearchQuery) => void;
  readonly found:
    | { readonly count: number; readonly index: number; readonly done: boolean; readonly full: boolean }
    | undefined;
  readonly onStepMatch: (step: 1 | -1) => void;
  readonly searchField: RefObject<HTMLInputElement | null>;
  readonly onLeaveSearch: () => void;
}

/** Larger logs should be downloaded instead of copied. */
const copyLimitBytes = 20 * 1024 * 1024;

export function LogToolbar(props: LogToolbarProps) {
  const { buffer, command, query, onQueryChange, found, onStepMatch } = props;
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key === "Enter") {
      event.preventDefault();
      onStepMatch(event.shiftKey ? -1 : 1);
    } else if (event.key === "Escape") {
      event.preventDefault();
      onQueryChange({ ...query, text: "" });
      props.onLeaveSearch();
    }
  };
  return (
    <div className={classes.toolbar} role="toolbar" aria-label="Log tools">
      <LogCommand command={command} opened={props.commandOpened} onToggle={props.onCommandToggle} />
      <TextInput
        ref={props.searchField}
        size="xs"
        className={classes.search ?? ""}
        placeholder="Search  /"
        aria-label="Search in the log"
        leftSection={<IconSearch size={14} />}
        value={query.text}
        onChange={(event) => onQueryChange({ ...query, text: event.currentTarget.value })}
        onKeyDown={onKeyDown}
        rightSection={
          query.text !== "" && (
            <ActionIcon
              size="xs"
              variant="subtle"
              color="gray"
              aria-label="Clear the search"
              onClick={() => onQueryChange({ ...query, text: "" })}
            >
              <IconX size={12} />
            </ActionIcon>
          )
        }
      />
      {found && (
        <>
          <span className={classes.count} role="status" data-testid="match-count">
            {countWords(found)}
          </span>
          <Tool
            label="Previous match (p)"
            disabled={found.count === 0}
            onClick={() => onStepMatch(-1)}
            icon={IconChevronUp}
          />
          <Tool
            label="Next match (n)"
            disabled={found.count === 0}
            onClick={() => onStepMatch(1)}
            icon={IconChevronDown}
          />
          <Tool
            label="Match case"
            pressed={query.matchCase}
            onClick={() => onQueryChange({ ...query, matchCase: !query.matchCase })}
            icon={IconLetterCase}
          />
        </>
      )}
      {props.foldsGroups !== undefined && (
        <Tool label="Fold groups (o)" pressed={props.foldsGroups} onClick={props.onFoldGroups} icon={IconFold} />
      )}
      <Tool
        label="Wrap long lines (w)"
        pressed={props.wrap}
        onClick={() => props.onWrapChange(!props.wrap)}
        icon={IconTextWrap}
      />
      <TimeMenu mode={props.timeMode} onChange={props.onTimeModeChange} />
      <CopyLog buffer={buffer} />
      <Tooltip label="Download as text" withArrow>
        <ActionIcon
          component="a"
          href={props.downloadHref}
          download={props.downloadName}
          variant="subtle"
          color="gray"
          aria-label="Download the log"
        >
          <IconDownload size={17} />
        </ActionIcon>
      </Tooltip>
    </div>
  );
}

function countWords({ count, index, done, full }: NonNullable<LogToolbarProps["found"]>): string {
  if (count === 0) return done ? "no match" : "searching…";
  const total = `${count.toLocaleString("en")}${full ? "+" : done ? "" : "…"}`;
  return index < 0 ? total : `${(index + 1).toLocaleString("en")} of ${total}`;
}

interface ToolProps {
  readonly label: string;
  readonly icon: typeof IconSearch;
  readonly onClick: () => void;
  readonly pressed?: boolean;
  readonly disabled?: boolean;
}

function Tool({ label, icon: Picture, onClick, pressed, disabled = false }: ToolProps) {
  return (
    <Tooltip label={label} withArrow>
      <ActionIcon
        variant={pressed ? "light" : "subtle"}
        color={pressed ? "airlock" : "gray"}
        onClick={onClick}
        aria-label={label}
        aria-pressed={pressed}
        disabled={disabled}
      >
        <Picture size={17} />
      </ActionIcon>
    </Tooltip>
  );
}

function CopyLog({ buffer }: { readonly buffer: LineBuffer }) {
  const [outcome, setOutcome] = useState<"copied" | "refused">();
  const tooLarge = buffer.byteLength > copyLimitBytes;
  const copy = async () => {
    // Plain text can't show the source of a line. Mark the executor's lines with a random mark that output can't guess.
    const mark = newOwnMark();
    const lines = Array.from({ length: buffer.lineCount }, (_, index) =>
      buffer.isNote(index) ? `${mark} ${buffer.text(index)}` : buffer.text(index),
    );
    try {
      await navigator.clipboard.writeText(lines.join("\n"));
      setOutcome("copied");
    } catch {
      // Browsers allow access to the clipboard only on secure origins.
      setOutcome("refused");
    }
    setTimeout(() => setOutcome(undefined), 2000);
  };
  const label = tooLarge
    ? "Too long to copy: download the log instead"
    : outcome === "copied"
      ? "Copied"
      : outcome === "refused"
        ? "The browser did not allow copying: download the log instead"
        : "Copy the log";
  return (
    <Tooltip label={label} withArrow>
      <ActionIcon
        variant="subtle"
        color="gray"
        onClick={copy}
        aria-label="Copy the log"
        disabled={buffer.lineCount === 0 || tooLarge}
      >
        {outcome === "copied" ? <IconCheck size={17} /> : <IconCopy size={17} />}
      </ActionIcon>
    </Tooltip>
  );
}
