import type { JobState } from "@airlock/job";
import { Badge, Tooltip } from "@mantine/core";
import { wordsOf } from "./job-state-words.ts";

interface StateBadgeProps {
  readonly job: { readonly state: JobState; readonly cancelRequested?: boolean };
  readonly size?: "md" | "lg";
}

/** A job's state as icon, word and colour. */
export function StateBadge({ job, size = "md" }: StateBadgeProps) {
  const { word, icon: Picture, color, spins, meaning } = wordsOf(job);
  const pixels = size === "lg" ? 18 : 15;
  return (
    <Tooltip label={meaning} withArrow>
      <Badge
        variant="light"
        color={color}
        size={size === "lg" ? "xl" : "lg"}
        tt="none"
        fw={600}
        leftSection={
          <Picture
            size={pixels}
            stroke={2.2}
            className={spins ? "spin" : ""}
            aria-hidden
            style={{ display: "block" }}
          />
        }
        styles={{ label: { overflow: "visible" } }}
      >
        {word}
      </Badge>
    </Tooltip>
  );
}
