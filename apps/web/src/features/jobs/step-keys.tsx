import { Group, Text, Tooltip } from "@mantine/core";
import { Fragment } from "react";

const shown = 3;

/** The first steps, and the number of the others: `test › build › lint › +2`. */
export function StepKeys({ keys }: { readonly keys: readonly string[] }) {
  return (
    <Tooltip label={keys.join(" › ")} withArrow multiline maw={420} disabled={keys.length <= shown}>
      <Group gap={4} wrap="nowrap" miw={0}>
        {keys.slice(0, shown).map((key, index) => (
          <Fragment key={key}>
            {index > 0 && (
              <Text size="xs" c="dimmed" aria-hidden>
                ›
              </Text>
            )}
            <Text size="sm" truncate maw={120}>
              {key}
            </Text>
          </Fragment>
        ))}
        {keys.length > shown && (
          <Text size="xs" c="dimmed">
            +{keys.length - shown}
          </Text>
        )}
      </Group>
    </Tooltip>
  );
}
