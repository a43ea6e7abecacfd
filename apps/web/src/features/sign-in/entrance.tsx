import { Center, Paper, Stack, Text, Title } from "@mantine/core";
import type { ReactNode } from "react";
import { Logo } from "../../ui/logo.tsx";

interface EntranceProps {
  readonly title: string;
  readonly description?: ReactNode;
  readonly children: ReactNode;
}

/** The frame of the pages before the application: one card in the middle. */
export function Entrance({ title, description, children }: EntranceProps) {
  return (
    <Center component="main" mih="100dvh" p="md">
      <Paper withBorder shadow="sm" p="xl" w="100%" maw={420} bg="var(--airlock-surface)">
        <Stack>
          <Stack gap="xs" align="center">
            <Logo size={48} />
            <Title order={1} size="h3" ta="center">
              {title}
            </Title>
            {description && (
              <Text c="dimmed" size="sm" ta="center">
                {description}
              </Text>
            )}
          </Stack>
          {children}
        </Stack>
      </Paper>
    </Center>
  );
}
