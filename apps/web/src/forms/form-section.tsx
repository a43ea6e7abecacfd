import { Paper, Text } from "@mantine/core";
import type { ReactNode } from "react";

interface FormSectionProps {
  readonly title: string;
  readonly children: ReactNode;
}

export function FormSection({ title, children }: FormSectionProps) {
  return (
    <Paper withBorder p="md" bg="var(--airlock-surface)" component="fieldset" m={0} miw={0} aria-label={title}>
      <Text fw={600} mb="xs">
        {title}
      </Text>
      {children}
    </Paper>
  );
}
