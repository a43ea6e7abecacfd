import { Button, Group, Modal, NativeSelect, Stack, TextInput } from "@mantine/core";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { listQueues } from "../../api-client/endpoints.ts";
import { errorWords } from "../../api-client/error-words.ts";
import { createExecutorToken } from "../../api-client/executor-token-endpoints.ts";
import { ApiRequestError } from "../../api-client/http.ts";
import { queryKeys } from "../../api-client/query-client.ts";
import { issuesByField } from "../../forms/issues.ts";
import { announce } from "../../ui/announcer.tsx";
import { ErrorNote } from "../../ui/error-note.tsx";
import type { NewToken } from "./created-token.tsx";

interface NewTokenDialogProps {
  readonly onClose: () => void;
  readonly onCreated: (created: NewToken) => void;
}

export function NewTokenDialog({ onClose, onCreated }: NewTokenDialogProps) {
  const client = useQueryClient();
  const queues = useQuery({ queryKey: queryKeys.queues, queryFn: ({ signal }) => listQueues({ signal }) });
  const names = queues.data?.map((queue) => queue.name) ?? [];
  const [name, setName] = useState("");
  const [chosen, setChosen] = useState<string>();
  const queue = chosen ?? names.find((each) => each === "default") ?? names[0] ?? "";
  const { mutate, isPending, error, reset } = useMutation({
    mutationFn: () => createExecutorToken({ name: name.trim(), queue }),
    onSuccess: async (token) => {
      announce(`Executor token ${token.name} created`);
      await client.invalidateQueries({ queryKey: queryKeys.executorTokens });
      onCreated({ ...token, replacedUntil: null });
    },
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    mutate();
  };
  const issues = issuesByField(error instanceof ApiRequestError ? error.issues : [], ["name", "queue"]);
  const failure = error && issues.fields.size === 0 ? error : queues.error;
  return (
    <Modal opened onClose={onClose} title="New executor token">
      <form onSubmit={submit}>
        <Stack gap="md">
          <TextInput
            label="Name"
            description="Which executors get it, such as the name of a machine or a pool"
            value={name}
            onChange={(event) => {
              setName(event.currentTarget.value);
              reset();
            }}
            error={issues.fields.get("name")}
            maxLength={100}
            required
            autoComplete="off"
            data-autofocus
          />
          <NativeSelect
            label="Queue"
            description="Executors with this token get jobs of this queue only"
            data={names}
            value={queue}
            onChange={(event) => {
              setChosen(event.currentTarget.value);
              reset();
            }}
            error={issues.fields.get("queue")}
            required
          />
          {failure && <ErrorNote words={errorWords(failure)} />}
          <Group justify="flex-end">
            <Button variant="default" onClick={onClose}>
              Close
            </Button>
            <Button type="submit" loading={isPending} disabled={queue === ""}>
              Create token
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}
