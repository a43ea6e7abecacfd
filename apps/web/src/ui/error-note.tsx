import { Alert, Text } from "@mantine/core";
import { IconAlertCircle } from "@tabler/icons-react";
import type { errorWords } from "../api-client/error-words.ts";

/** The error of a form. Screen readers read it when it appears. */
export function ErrorNote({ words }: { readonly words: ReturnType<typeof errorWords> }) {
  return (
    <Alert color="red" icon={<IconAlertCircle />} role="alert">
      <Text size="sm">{words.message}</Text>
      {words.hint && (
        <Text size="sm" c="dimmed">
          {words.hint}
        </Text>
      )}
    </Alert>
  );
}
