import { Checkbox } from "@mantine/core";
import classes from "./job-list.module.css";
import type { Selection } from "./use-selection.ts";

export function SelectJob({ id, selection }: { readonly id: number; readonly selection: Selection }) {
  return (
    <Checkbox
      size="xs"
      className={classes.select ?? ""}
      aria-label={`Select job ${id}`}
      checked={selection.has(id)}
      onChange={(event) => selection.set(id, event.currentTarget.checked)}
    />
  );
}
