import { Group, Text, Tooltip } from "@mantine/core";
import { IconPlugConnectedX, IconWifi } from "@tabler/icons-react";
import { useLiveState } from "../api-client/connection-store.ts";

/** Shows whether the page receives live updates. */
export function LiveIndicator() {
  const state = useLiveState();
  if (state === "idle" || state === "connecting") return null;
  const live = state === "live";
  const Picture = live ? IconWifi : IconPlugConnectedX;
  return (
    <Tooltip label={live ? "This page updates by itself" : "Connection lost: reconnecting"} withArrow>
      <Group gap={6} wrap="nowrap" c={live ? "dimmed" : "orange"} role={live ? undefined : "status"}>
        <Picture size={16} stroke={1.8} aria-hidden />
        <Text size="xs" fw={500} visibleFrom={live ? "xs" : ""}>
          {live ? "Live" : "Reconnecting…"}
        </Text>
      </Group>
    </Tooltip>
  );
}
