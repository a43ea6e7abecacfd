import { Button, Group, Loader, Paper, Stack, Text, Title } from "@mantine/core";
import type { ReactNode } from "react";
import { ErrorPanel } from "../../ui/error-panel.tsx";

interface CredentialListProps {
  readonly title: string;
  /** Shown if there are no items. */
  readonly empty: string;
  readonly failure: string;
  readonly query: { readonly error: unknown; readonly refetch: () => unknown };
  readonly items:
    | readonly {
        readonly id: number;
        readonly title: string;
        /** Dimmed lines below the title. */
        readonly children: ReactNode;
        readonly action: string;
        readonly label: string;
        readonly onAct: () => void;
      }[]
    | undefined;
}

/** Sessions or tokens, each with a button that ends it. */
export function CredentialList({ title, empty, failure, query, items }: CredentialListProps) {
  return (
    <Stack gap="xs" component="section" aria-label={title} mt="sm">
      <Title order={2} size="h4">
        {title}
      </Title>
      {query.error !== null && items === undefined && (
        <ErrorPanel title={failure} error={query.error} onRetry={() => void query.refetch()} />
      )}
      {query.error === null && items === undefined && <Loader type="dots" aria-label="Loading" />}
      {items?.length === 0 && (
        <Text size="sm" c="dimmed">
          {empty}
        </Text>
      )}
      {items && items.length > 0 && (
        <Paper withBorder bg="var(--airlock-surface)" component="ul" m={0} p={0} style={{ listStyle: "none" }}>
          {items.map((item, index) => (
            <Group
              key={item.id}
              component="li"
              justify="space-between"
              wrap="nowrap"
              px="md"
              py="xs"
              gap="sm"
              style={index === 0 ? {} : { borderTop: "1px solid var(--airlock-border)" }}
            >
              <div style={{ minWidth: 0 }}>
                <Text size="sm" fw={600} style={{ overflowWrap: "anywhere" }}>
                  {item.title}
                </Text>
                {item.children}
              </div>
              <Button
                variant="subtle"
                color="red"
                size="compact-sm"
                style={{ flex: "none" }}
                aria-label={`${item.action} ${item.label}`}
                onClick={item.onAct}
              >
                {item.action}
              </Button>
            </Group>
          ))}
        </Paper>
      )}
    </Stack>
  );
}
