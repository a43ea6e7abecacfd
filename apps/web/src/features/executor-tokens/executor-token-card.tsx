import type { ExecutorTokenView } from "@airlock/api";
import { Badge, Button, Group, Paper, Text, Title } from "@mantine/core";
import { IconRefresh, IconTrash } from "@tabler/icons-react";
import { useNow } from "../../ui/clock.ts";
import { RelativeTime } from "../../ui/relative-time.tsx";

interface ExecutorTokenCardProps {
  readonly token: ExecutorTokenView;
  readonly onRotate: () => void;
  readonly onRevoke: () => void;
}

/** A pool of executors can be large. The card names the ones that were seen last. */
const shownExecutors = 8;

export function ExecutorTokenCard({ token, onRotate, onRevoke }: ExecutorTokenCardProps) {
  const label = `${token.name} of queue ${token.queue}`;
  const rest = token.executors.length - shownExecutors;
  return (
    <Paper component="article" withBorder p="md" bg="var(--airlock-surface)" aria-label={label}>
      <Group justify="space-between" align="flex-start" gap="xs">
        <Group gap="xs" style={{ flex: "1 1 220px", minWidth: 0 }}>
          <Title order={3} size="h5" style={{ overflowWrap: "anywhere" }}>
            {token.name}
          </Title>
          <Expiry at={token.expiresAt} />
        </Group>
        <Group gap="xs">
          {token.expiresAt === null && (
            <Button
              variant="default"
              size="xs"
              leftSection={<IconRefresh size={16} />}
              aria-label={`Rotate ${label}`}
              onClick={onRotate}
            >
              Rotate
            </Button>
          )}
          <Button
            variant="light"
            color="red"
            size="xs"
            leftSection={<IconTrash size={16} />}
            aria-label={`Revoke ${label}`}
            onClick={onRevoke}
          >
            Revoke
          </Button>
        </Group>
      </Group>
      <Group mt="xs" style={{ columnGap: "var(--mantine-spacing-lg)", rowGap: 2 }}>
        <Text size="sm" c="dimmed" component="div">
          created <RelativeTime at={token.createdAt} /> by {token.createdBy}
        </Text>
        <Text size="sm" c="dimmed" component="div">
          {token.lastUsedAt === null ? (
            "never used"
          ) : (
            <>
              last used <RelativeTime at={token.lastUsedAt} />
              {token.lastAddress !== null && ` from ${token.lastAddress}`}
            </>
          )}
        </Text>
      </Group>
      {token.executors.length > 0 && (
        <Group component="ul" mt="sm" p={0} mb={0} gap={6} aria-label="Executors that used it in the last week">
          {token.executors.slice(0, shownExecutors).map((executor) => (
            <Badge
              key={executor.name}
              component="li"
              variant="light"
              color="gray"
              tt="none"
              fw={500}
              maw="100%"
              style={{ listStyle: "none" }}
            >
              {executor.name} · <RelativeTime at={executor.lastUsedAt} />
            </Badge>
          ))}
          {rest > 0 && (
            <Text component="li" size="sm" c="dimmed" style={{ listStyle: "none" }}>
              and {rest} more
            </Text>
          )}
        </Group>
      )}
    </Paper>
  );
}

function Expiry({ at }: { readonly at: string | null }) {
  const now = useNow();
  if (at === null) return null;
  if (Date.parse(at) <= now) {
    return (
      <Badge variant="light" color="gray" tt="none">
        replaced, expired
      </Badge>
    );
  }
  return (
    <Badge variant="light" color="orange" tt="none">
      replaced, ends <RelativeTime at={at} />
    </Badge>
  );
}
