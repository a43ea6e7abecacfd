import { Paper, Stack, Text, ThemeIcon, Title } from "@mantine/core";
import type { Icon } from "@tabler/icons-react";
import type { ReactNode } from "react";

interface EmptyStateProps {
  readonly icon: Icon;
  readonly title: string;
  /** Heading level; 1 if the page has no other heading. */
  readonly order?: 1 | 2;
  readonly children: ReactNode;
}

/** Shown instead of an empty list: what belongs here and how to create it. */
export function EmptyState({ icon: Picture, title, order = 2, children }: EmptyStateProps) {
  return (
    <Paper withBorder p="xl" bg="var(--airlock-surface)">
      <Stack align="center" gap="md" maw={680} mx="auto" py="lg" ta="center">
        <ThemeIcon variant="light" size={56} radius="xl">
          <Picture size={30} stroke={1.6} aria-hidden />
        </ThemeIcon>
        <Title order={order} size="h3">
          {title}
        </Title>
        <Stack gap="md" w="100%">
          {typeof children === "string" ? <Text c="dimmed">{children}</Text> : children}
        </Stack>
      </Stack>
    </Paper>
  );
}
