import type { ExecutorTokenView } from "@airlock/api";
import { Button, Group, Modal, NativeSelect, Stack, Text } from "@mantine/core";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { errorWords } from "../../api-client/error-words.ts";
import { rotateExecutorToken } from "../../api-client/executor-token-endpoints.ts";
import { queryKeys } from "../../api-client/query-client.ts";
import { announce } from "../../ui/announcer.tsx";
import { ErrorNote } from "../../ui/error-note.tsx";
import type { NewToken } from "./created-token.tsx";
import { executorCount } from "./executor-count.ts";
import { defaultOverlap, overlaps } from "./overlaps.ts";

interface RotateDialogProps {
  readonly token: ExecutorTokenView;
  readonly onClose: () => void;
  readonly onRotated: (created: NewToken) => void;
}

export function RotateDialog({ token, onClose, onRotated }: RotateDialogProps) {
  const client = useQueryClient();
  const [overlap, setOverlap] = useState(defaultOverlap);
  const { mutate, isPending, error } = useMutation({
    mutationFn: () => rotateExecutorToken(token.id, Number(overlap)),
    onSuccess: async (created) => {
      announce(`Executor token ${token.name} rotated`);
      await client.invalidateQueries({ queryKey: queryKeys.executorTokens });
      const words = overlaps.find((each) => each.value === overlap)?.label ?? "ends later";
      onRotated({ ...created, replacedUntil: `The old token ${overlap === "0" ? "has ended" : words}.` });
    },
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    mutate();
  };
  return (
    <Modal opened onClose={onClose} title={`Rotate “${token.name}”?`}>
      <form onSubmit={submit}>
        <Stack gap="md">
          <Text size="sm">
            A new token takes its place. {executorCount(token)} must get the new one before the old one ends. After
            that, they get no further jobs.
          </Text>
          <NativeSelect
            label="The old token"
            data={[...overlaps]}
            value={overlap}
            onChange={(event) => setOverlap(event.currentTarget.value)}
            data-autofocus
          />
          {error && <ErrorNote words={errorWords(error)} />}
          <Group justify="flex-end">
            <Button variant="default" onClick={onClose}>
              Close
            </Button>
            <Button type="submit" loading={isPending}>
              Rotate token
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}
