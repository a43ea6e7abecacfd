import { Group, Text, Title } from "@mantine/core";
import type { ReactNode } from "react";
import { HelpLink, type HelpPlace, helpPlaces } from "./help-link.tsx";

interface PageHeaderProps {
  readonly title: string;
  readonly description?: string;
  /** What explains this page. */
  readonly help?: HelpPlace;
  /** Buttons on the right. */
  readonly children?: ReactNode;
}

export function PageHeader({ title, description, help, children }: PageHeaderProps) {
  return (
    <Group justify="space-between" align="flex-end" mb="md" gap="sm">
      <div>
        <Title order={1} size="h2">
          {title}
        </Title>
        {(description || help) && (
          <Text c="dimmed" size="sm" mt={2}>
            {description} {help && <HelpLink href={helpPlaces[help]}>Help</HelpLink>}
          </Text>
        )}
      </div>
      {children && <Group gap="xs">{children}</Group>}
    </Group>
  );
}
