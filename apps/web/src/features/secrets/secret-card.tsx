import type { SecretView } from "@airlock/api";
import { Anchor, Badge, Button, Group, Paper, Text, Title } from "@mantine/core";
import { IconRefresh, IconTrash } from "@tabler/icons-react";
import { Link } from "react-router";
import { RelativeTime } from "../../ui/relative-time.tsx";
import { scopeWords } from "./scope-words.ts";

interface SecretCardProps {
  readonly secret: SecretView;
  readonly onReplace: () => void;
  readonly onDelete: () => void;
}

export function SecretCard({ secret, onReplace, onDelete }: SecretCardProps) {
  const scope = scopeWords(secret);
  const label = `${secret.name} of ${scope}`;
  return (
    <Paper component="article" withBorder p="md" bg="var(--airlock-surface)" aria-label={label}>
      <Group justify="space-between" align="flex-start" gap="xs">
        <div style={{ flex: "1 1 260px", minWidth: 0 }}>
          <Group gap="xs">
            <Title order={2} size="h5" ff="monospace" style={{ overflowWrap: "anywhere" }}>
              {secret.name}
            </Title>
            <Badge variant="light" color={scope === "all jobs" ? "gray" : "blue"} tt="none" maw="100%">
              {scope}
            </Badge>
          </Group>
          {secret.description !== "" && (
            <Text size="sm" mt={4} style={{ overflowWrap: "anywhere" }}>
              {secret.description}
            </Text>
          )}
        </div>
        <Group gap="xs">
          <Button
            variant="default"
            size="xs"
            leftSection={<IconRefresh size={16} />}
            aria-label={`Replace ${label}`}
            onClick={onReplace}
          >
            Replace
          </Button>
          <Button
            variant="light"
            color="red"
            size="xs"
            leftSection={<IconTrash size={16} />}
            aria-label={`Delete ${label}`}
            onClick={onDelete}
          >
            Delete
          </Button>
        </Group>
      </Group>
      <Group mt="sm" style={{ columnGap: "var(--mantine-spacing-lg)", rowGap: 2 }}>
        <Text size="sm" c="dimmed" component="div">
          set <RelativeTime at={secret.updatedAt} /> by {secret.updatedBy}
        </Text>
        <Text size="sm" c="dimmed" component="div">
          {secret.lastUsedAt === null ? (
            "never used"
          ) : (
            <>
              used <RelativeTime at={secret.lastUsedAt} />
            </>
          )}
        </Text>
        <Anchor component={Link} size="sm" to={`/secrets?view=record&name=${encodeURIComponent(secret.name)}`}>
          Record
        </Anchor>
      </Group>
    </Paper>
  );
}
