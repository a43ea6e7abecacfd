import type { SecretView } from "@airlock/api";
import { Alert, Button, Group, Modal, Text } from "@mantine/core";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { deleteSecret } from "../../api-client/endpoints.ts";
import { errorWords } from "../../api-client/error-words.ts";
import { queryKeys } from "../../api-client/query-client.ts";
import { announce } from "../../ui/announcer.tsx";
import { scopeWords } from "./scope-words.ts";

interface DeleteSecretDialogProps {
  readonly secret: SecretView;
  readonly onClose: () => void;
}

export function DeleteSecretDialog({ secret, onClose }: DeleteSecretDialogProps) {
  const client = useQueryClient();
  const { mutate, isPending, error } = useMutation({
    mutationFn: () => deleteSecret(secret),
    onSuccess: async () => {
      announce(`Secret ${secret.name} deleted`);
      await client.invalidateQueries({ queryKey: queryKeys.secrets });
      onClose();
    },
  });
  return (
    <Modal opened onClose={onClose} title={`Delete ${secret.name}?`} centered>
      <Text size="sm">
        The value for {scopeWords(secret)} is lost. Jobs that name it and wait will fail, unless another secret of this
        name is for them. The record of who used it stays.
      </Text>
      {error && (
        <Alert color="red" role="alert" mt="sm">
          {errorWords(error).message}
        </Alert>
      )}
      <Group justify="flex-end" mt="md">
        <Button variant="default" onClick={onClose} data-autofocus>
          Keep it
        </Button>
        <Button color="red.9" loading={isPending} onClick={() => mutate()}>
          Delete secret
        </Button>
      </Group>
    </Modal>
  );
}
