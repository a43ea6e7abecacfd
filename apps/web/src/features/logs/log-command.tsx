import { UnstyledButton } from "@mantine/core";
import { IconChevronDown, IconChevronRight } from "@tabler/icons-react";
import { CommandBlock } from "../../ui/command-block.tsx";
import { visibleText } from "../../ui/visible-text.ts";
import classes from "./log-command.module.css";

/** A single line up to this length fits into the header of most logs. */
const fittingLength = 48;

interface LogCommandProps {
  readonly command: string;
  readonly opened: boolean;
  readonly onToggle: () => void;
}

/** The first line of the command, and a button for the others. Hidden characters are shown escaped. */
export function LogCommand({ command, opened, onToggle }: LogCommandProps) {
  const { first, further } = firstLine(command);
  const shown = (
    <span className={classes.first} title={visibleText(first)}>
      {command !== "" && `$ ${visibleText(first)}`}
    </span>
  );
  if (further === 0 && first.length <= fittingLength) return <div className={classes.command}>{shown}</div>;
  const Chevron = opened ? IconChevronDown : IconChevronRight;
  return (
    <UnstyledButton className={`${classes.command} ${classes.button}`} onClick={onToggle} aria-expanded={opened}>
      <Chevron size={14} className={classes.chevron} aria-hidden />
      {shown}
      {further > 0 && (
        <span className={classes.further}>
          +{further.toLocaleString("en")} {further === 1 ? "line" : "lines"}
        </span>
      )}
    </UnstyledButton>
  );
}

/** The whole command, below the header. */
export function WholeCommand({ command, label }: { readonly command: string; readonly label: string }) {
  return (
    <div className={classes.whole}>
      <CommandBlock label={label} text={command} />
    </div>
  );
}

/** The first line that says something: blank lines and an interpreter's name do not. */
function firstLine(command: string): { readonly first: string; readonly further: number } {
  const lines = command.split("\n");
  const index = lines.findIndex((line) => line.trim() !== "" && !line.startsWith("#!"));
  return { first: lines[Math.max(0, index)] ?? "", further: lines.length - 1 };
}
