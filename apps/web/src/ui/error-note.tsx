import { Alert, Text } from "@mantine/core";
import { IconAlertCircle } from "@tabler/icons-react";
import type { ErrorWords } from "../api-client/error-words.ts";
import { HelpLink } from "./help-link.tsx";

/** The error of a form. Screen readers read it when it appears. */
export function ErrorNote({ words }: { readonly words: ErrorWords }) {
  return (
    <Alert color="red" icon={<IconAlertCircle />} role="alert">
      <Text size="sm">{words.message}</Text>
      {words.hint && (
        <Text size="sm" c="dimmed">
          {words.hint}
        </Text>
      )}
      {words.help && (
        <HelpLink href={words.help} tinted>
          About this error
        </HelpLink>
      )}
    </Alert>
  );
}
