import { ActionIcon, CopyButton, Tooltip } from "@mantine/core";
import { IconCheck, IconCopy } from "@tabler/icons-react";
import classes from "./command-block.module.css";
import { visibleText } from "./visible-text.ts";

interface CommandBlockProps {
  readonly text: string;
  /** The kind of text, for screen readers: `Command`, `Job file`. */
  readonly label: string;
  /** Long lines are wrapped instead of scrolled. */
  readonly wrap?: boolean;
}

/** Text with a button that copies it. Hidden characters are shown escaped, and copied as they are. */
export function CommandBlock({ text, label, wrap = false }: CommandBlockProps) {
  return (
    <div className={classes.block}>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: scrollable content must be reachable by keyboard */}
      <section className={classes.scroller} tabIndex={0} aria-label={label}>
        <pre className={`${classes.text} ${wrap ? classes.wrapped : ""}`}>{visibleText(text)}</pre>
      </section>
      <CopyButton value={text} timeout={1500}>
        {({ copied, copy }) => (
          <Tooltip label={copied ? "Copied" : "Copy"} withArrow>
            <ActionIcon
              className={classes.copy ?? ""}
              variant="default"
              onClick={copy}
              aria-label={`Copy ${label.toLowerCase()}`}
            >
              {copied ? <IconCheck size={16} /> : <IconCopy size={16} />}
            </ActionIcon>
          </Tooltip>
        )}
      </CopyButton>
    </div>
  );
}
