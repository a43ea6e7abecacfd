import { Alert, Button, Center, Group, Text } from "@mantine/core";
import { IconBug } from "@tabler/icons-react";
import { useRouteError } from "react-router";

/** Shown if a page threw an error, or if its code could not be loaded, e.g. after an update of the instance. */
export function RouteErrorPage() {
  const error = useRouteError();
  return (
    <Center component="main" mih="60dvh" p="md">
      <Alert color="red" title="This page failed" icon={<IconBug />} maw={640} role="alert">
        <Text size="sm">{error instanceof Error ? error.message : String(error)}</Text>
        <Text size="sm" c="dimmed" mt={4}>
          If the instance was updated, reloading the page helps. Otherwise, please report this problem.
        </Text>
        <Group mt="sm">
          <Button size="xs" variant="default" onClick={() => window.location.reload()}>
            Reload
          </Button>
        </Group>
      </Alert>
    </Center>
  );
}
