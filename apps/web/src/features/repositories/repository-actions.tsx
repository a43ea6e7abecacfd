import type { RepositoryView } from "@airlock/api";
import { Button, Group, Text } from "@mantine/core";
import { IconRefresh, IconTrash } from "@tabler/icons-react";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { refreshRepository, removeRepository } from "../../api-client/endpoints.ts";
import { errorWords } from "../../api-client/error-words.ts";
import { queryKeys } from "../../api-client/query-client.ts";
import { announce } from "../../ui/announcer.tsx";
import { ConfirmDialog } from "../../ui/confirm-dialog.tsx";
import { ErrorNote } from "../../ui/error-note.tsx";

/** Fetches a repository now, or deletes it. For administrators. */
export function RepositoryActions({ repository: { name } }: { readonly repository: RepositoryView }) {
  const client = useQueryClient();
  const [asking, setAsking] = useState(false);
  const reload = () => client.invalidateQueries({ queryKey: queryKeys.repositories });
  const refresh = useMutation({
    mutationFn: () => refreshRepository(name),
    onSuccess: () => announce(`${name} was fetched`),
    // A fetch that failed leaves its reason with the repository.
    onSettled: reload,
  });
  return (
    <>
      <Group gap="xs" mt="sm">
        <Button
          size="xs"
          variant="default"
          leftSection={<IconRefresh size={15} aria-hidden />}
          loading={refresh.isPending}
          onClick={() => refresh.mutate()}
          aria-label={`Fetch now: ${name}`}
        >
          Fetch now
        </Button>
        <Button
          size="xs"
          variant="subtle"
          color="red"
          leftSection={<IconTrash size={15} aria-hidden />}
          onClick={() => setAsking(true)}
          aria-label={`Delete ${name}`}
        >
          Delete
        </Button>
      </Group>
      {refresh.error && <ErrorNote words={errorWords(refresh.error)} />}
      {asking && (
        <ConfirmDialog
          title={`Delete ${name}?`}
          confirmLabel="Delete"
          cancelLabel="Keep it"
          action={() => removeRepository(name)}
          done={`${name} was deleted`}
          onClose={() => setAsking(false)}
          onDone={() => {
            setAsking(false);
            void reload();
          }}
        >
          <Text size="sm">
            The instance forgets the repository and deletes its copy. Jobs that name it can't run any more. Finished
            jobs stay.
          </Text>
        </ConfirmDialog>
      )}
    </>
  );
}
