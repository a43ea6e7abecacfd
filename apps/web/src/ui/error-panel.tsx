import { Alert, Button, Group, Text } from "@mantine/core";
import { IconPlugConnectedX } from "@tabler/icons-react";
import { errorWords } from "../api-client/error-words.ts";
import { ApiRequestError } from "../api-client/http.ts";
import { HelpLink } from "./help-link.tsx";

interface ErrorPanelProps {
  readonly error: unknown;
  /** What failed: `The jobs could not be loaded`. */
  readonly title: string;
  readonly onRetry?: () => void;
}

export function ErrorPanel({ error, title, onRetry }: ErrorPanelProps) {
  // The session has expired, so the login page is about to appear.
  if (error instanceof ApiRequestError && error.status === 401) return null;
  const { message, hint, help } = errorWords(error);
  return (
    <Alert color="red" title={title} icon={<IconPlugConnectedX />} role="alert">
      <Text size="sm">{message}</Text>
      {hint && (
        <Text size="sm" c="dimmed" mt={4}>
          {hint}
        </Text>
      )}
      {help && (
        <HelpLink href={help} tinted>
          About this error
        </HelpLink>
      )}
      {onRetry && (
        <Group mt="sm">
          <Button size="xs" variant="default" onClick={onRetry}>
            Try again
          </Button>
        </Group>
      )}
    </Alert>
  );
}
