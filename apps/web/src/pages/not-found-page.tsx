import { Button, Group, Text } from "@mantine/core";
import { IconMapOff } from "@tabler/icons-react";
import { Link } from "react-router";
import { EmptyState } from "../ui/empty-state.tsx";
import { usePageIdentity } from "../ui/page-identity.ts";

interface NotFoundPageProps {
  readonly title?: string;
  readonly children?: string;
}

export function NotFoundPage({ title = "Page not found", children }: NotFoundPageProps) {
  usePageIdentity("Not found");
  return (
    <EmptyState icon={IconMapOff} title={title} order={1}>
      <Text c="dimmed">{children ?? "The address may be mistyped, or belong to another version."}</Text>
      <Group justify="center">
        <Button component={Link} to="/jobs" variant="default">
          All jobs
        </Button>
      </Group>
    </EmptyState>
  );
}
