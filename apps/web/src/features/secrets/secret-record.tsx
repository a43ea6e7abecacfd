import type { SecretEventView } from "@airlock/api";
import { Anchor, Badge, Button, Group, Loader, Paper, Stack, Text } from "@mantine/core";
import { IconHistory, IconX } from "@tabler/icons-react";
import { useInfiniteQuery } from "@tanstack/react-query";
import { Link } from "react-router";
import { readSecretAudit } from "../../api-client/endpoints.ts";
import { queryKeys } from "../../api-client/query-client.ts";
import { EmptyState } from "../../ui/empty-state.tsx";
import { ErrorPanel } from "../../ui/error-panel.tsx";
import { RelativeTime } from "../../ui/relative-time.tsx";
import { scopeWords } from "./scope-words.ts";

const colors = { created: "green", changed: "blue", deleted: "red", used: "gray" } as const;

/** The record of all actions on secrets, newest first. */
export function SecretRecord({ name }: { readonly name: string | null }) {
  const { data, error, refetch, hasNextPage, fetchNextPage, isFetchingNextPage } = useInfiniteQuery({
    queryKey: queryKeys.secretRecord(name),
    queryFn: ({ pageParam, signal }) => readSecretAudit({ name, before: pageParam }, { signal }),
    initialPageParam: null as number | null,
    getNextPageParam: (page) => page.next,
  });
  const events = data?.pages.flatMap((page) => page.events);
  return (
    <Stack gap="sm">
      {name !== null && (
        <Group gap="xs">
          <Text size="sm">
            Only{" "}
            <Text span ff="monospace" fw={600}>
              {name}
            </Text>
          </Text>
          <Button
            component={Link}
            to="/secrets?view=record"
            variant="subtle"
            size="compact-sm"
            leftSection={<IconX size={14} />}
          >
            Show all
          </Button>
        </Group>
      )}
      {error && events === undefined && (
        <ErrorPanel title="The record could not be loaded" error={error} onRetry={refetch} />
      )}
      {!error && events === undefined && <Loader type="dots" aria-label="Loading" />}
      {events?.length === 0 && (
        <EmptyState icon={IconHistory} title="No events recorded">
          Here stands who created, changed and deleted secrets, and which steps of which jobs got them.
        </EmptyState>
      )}
      {events && events.length > 0 && (
        <Paper withBorder bg="var(--airlock-surface)" component="ol" m={0} p={0} style={{ listStyle: "none" }}>
          {events.map((event, index) => (
            <Event key={event.id} event={event} first={index === 0} />
          ))}
        </Paper>
      )}
      {hasNextPage && (
        <Group justify="center">
          <Button variant="default" onClick={() => void fetchNextPage()} loading={isFetchingNextPage}>
            Show older
          </Button>
        </Group>
      )}
    </Stack>
  );
}

const divider = { borderTop: "1px solid var(--airlock-border)" };

function Event({ event, first }: { readonly event: SecretEventView; readonly first: boolean }) {
  return (
    <Group
      component="li"
      align="flex-start"
      px="md"
      py="xs"
      style={{ columnGap: "var(--mantine-spacing-xs)", rowGap: 2, ...(first ? {} : divider) }}
    >
      <Badge variant="light" color={colors[event.action]} tt="none" w={78} mt={1} style={{ flex: "none" }}>
        {event.action}
      </Badge>
      <Text size="sm" component="div" style={{ flex: "1 1 220px", minWidth: 0, overflowWrap: "anywhere" }}>
        <Text span ff="monospace" fw={600}>
          {event.name}
        </Text>{" "}
        ({scopeWords(event)}) <Where event={event} />
      </Text>
      <Text size="sm" c="dimmed" component="div">
        <RelativeTime at={event.at} />
      </Text>
    </Group>
  );
}

function Where({ event }: { readonly event: SecretEventView }) {
  if (event.job === null) {
    return `by ${event.actor}${event.via === "session" ? " in the web UI" : " with the token"}`;
  }
  return (
    <>
      {event.step === null ? "to get images" : `in step ${event.step}`} of{" "}
      <Anchor component={Link} underline="always" size="sm" to={`/jobs/${event.job}`}>
        job {event.job}
      </Anchor>
      , attempt {event.attempt}, on {event.actor}
    </>
  );
}
