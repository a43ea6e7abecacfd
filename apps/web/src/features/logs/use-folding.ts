import { useLocalStorage } from "@mantine/hooks";
import { useCallback, useMemo, useState } from "react";
import type { LineBuffer } from "./line-buffer.ts";
import type { LogGroup } from "./log-groups.ts";
import { hiddenLines, nothingHidden, VisibleRows } from "./visible-rows.ts";

export interface Folding {
  readonly rows: VisibleRows;
  readonly hasGroups: boolean;
  /** Whether groups are folded unless the reader opened them. Kept by the browser for all jobs. */
  readonly foldsAll: boolean;
  isFolded(group: LogGroup): boolean;
  toggle(group: LogGroup): void;
  /** Folds all groups, or opens all. */
  toggleAll(): void;
  /** Opens the groups that hide the line. */
  reveal(line: number): void;
}

/** Which groups of the log are folded. A group without an end is never folded: a failing command leaves its group open. */
export function useFolding(buffer: LineBuffer): Folding {
  const { groups } = buffer;
  const [choice, setChoice] = useLocalStorage<"fold" | "open">({
    key: "airlock-log-groups",
    defaultValue: "open",
    getInitialValueInEffect: false,
    serialize: (value) => value,
    deserialize: (text) => (text === "fold" ? "fold" : "open"),
  });
  const foldsAll = choice === "fold";
  /** The reader's choice for single groups, by the line of their heading. */
  const [chosen, setChosen] = useState<ReadonlyMap<number, boolean>>(new Map());

  const isFolded = useCallback(
    (group: LogGroup) =>
      group.end !== undefined &&
      // Output must not be able to hide the executor's messages.
      (chosen.get(group.start) ?? ((foldsAll || group.collapsed) && !buffer.hasNoteIn(group.start, group.end))),
    [buffer, chosen, foldsAll],
  );
  // biome-ignore lint/correctness/useExhaustiveDependencies: the groups change in place
  const hidden = useMemo(
    () => (groups.all.length === 0 ? nothingHidden : hiddenLines(groups.all, isFolded)),
    [groups, groups.version, buffer.noteCount, isFolded],
  );
  const rows = useMemo(() => new VisibleRows(hidden), [hidden]);

  return {
    rows,
    hasGroups: groups.all.length > 0,
    foldsAll,
    isFolded,
    toggle: useCallback(
      (group) => setChosen((before) => new Map(before).set(group.start, !isFolded(group))),
      [isFolded],
    ),
    toggleAll: () => {
      setChosen(new Map());
      setChoice(foldsAll ? "open" : "fold");
    },
    reveal: useCallback(
      (line) => {
        const folded = groups.around(line).filter(isFolded);
        if (folded.length === 0) return;
        setChosen((before) => folded.reduce((next, group) => next.set(group.start, false), new Map(before)));
      },
      [groups, isFolded],
    ),
  };
}
