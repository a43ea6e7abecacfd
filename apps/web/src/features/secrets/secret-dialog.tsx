import type { SecretView } from "@airlock/api";
import { Button, Checkbox, Group, Modal, SimpleGrid, Stack, Text, Textarea, TextInput } from "@mantine/core";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { setSecret } from "../../api-client/endpoints.ts";
import { errorWords } from "../../api-client/error-words.ts";
import { ApiRequestError } from "../../api-client/http.ts";
import { queryKeys } from "../../api-client/query-client.ts";
import { useNamespaces } from "../../api-client/use-namespaces.ts";
import { issuesByField } from "../../forms/issues.ts";
import { announce } from "../../ui/announcer.tsx";
import { ErrorNote } from "../../ui/error-note.tsx";
import { NamespaceField } from "../namespaces/namespace-field.tsx";
import { scopeWords } from "./scope-words.ts";

interface SecretDialogProps {
  /** The secret whose value is replaced. Without it, the dialog creates one. */
  readonly secret?: SecretView;
  /** Existing secrets. A new one must not silently replace one of them. */
  readonly existing: readonly SecretView[];
  readonly onClose: () => void;
}

const fields = ["name", "namespace", "queue", "description", "value"];

export function SecretDialog({ secret, existing, onClose }: SecretDialogProps) {
  const client = useQueryClient();
  const [name, setName] = useState(secret?.name ?? "");
  const [namespace, setNamespace] = useState(secret?.namespace ?? "");
  const choices = useNamespaces(["owner"]);
  const scope = namespace.trim() || (secret ? "" : (choices?.[0] ?? ""));
  const [queue, setQueue] = useState(secret?.queue ?? "");
  const [description, setDescription] = useState(secret?.description ?? "");
  const [value, setValue] = useState("");
  const [shown, setShown] = useState(false);
  const { mutate, isPending, error, reset } = useMutation({
    mutationFn: () =>
      setSecret(name.trim(), { namespace: scope || null, queue: queue.trim() || null, description, value }),
    onSuccess: async () => {
      announce(secret ? `${name} has a new value` : `Secret ${name} added`);
      await client.invalidateQueries({ queryKey: queryKeys.secrets });
      onClose();
    },
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    mutate();
  };
  const taken =
    !secret &&
    existing.some(
      (other) =>
        other.name === name.trim() && (other.namespace ?? "") === scope && (other.queue ?? "") === queue.trim(),
    );
  const refused = issuesByField(error instanceof ApiRequestError ? error.issues : [], fields);
  const words = error && refused.fields.size === 0 ? errorWords(error) : undefined;
  const edit = (change: (text: string) => void) => (event: { currentTarget: { value: string } }) => {
    change(event.currentTarget.value);
    reset();
  };
  return (
    <Modal opened onClose={onClose} title={secret ? `New value of ${secret.name}` : "New secret"} size="lg">
      <form onSubmit={submit} autoComplete="off">
        <Stack gap="md">
          {secret ? (
            <Text size="sm" c="dimmed">
              For {scopeWords(secret)}. Jobs that start from now on get the new value.
            </Text>
          ) : (
            <>
              <TextInput
                label="Name"
                description="Also the name of its environment variable: upper-case letters, digits and _"
                placeholder="NPM_TOKEN"
                value={name}
                onChange={edit((text) => setName(text.toUpperCase()))}
                error={
                  taken
                    ? "A secret with this name and scope exists: replace its value in the list"
                    : refused.fields.get("name")
                }
                required
                spellCheck={false}
                data-autofocus
              />
              <SimpleGrid cols={{ base: 1, xs: 2 }}>
                <NamespaceField
                  choices={choices}
                  description="Jobs of this namespace can use it"
                  typedDescription="Empty: jobs of all namespaces"
                  value={scope}
                  onChange={(text) => {
                    setNamespace(text);
                    reset();
                  }}
                  error={refused.fields.get("namespace")}
                />
                <TextInput
                  label="Queue"
                  description="Empty: jobs of all queues"
                  value={queue}
                  onChange={edit(setQueue)}
                  error={refused.fields.get("queue")}
                  spellCheck={false}
                />
              </SimpleGrid>
            </>
          )}
          <Textarea
            label="Value"
            description="Stored unchanged, including line breaks; cannot be shown again"
            value={value}
            onChange={edit(setValue)}
            error={refused.fields.get("value")}
            required
            autosize
            minRows={3}
            maxRows={14}
            autoComplete="off"
            spellCheck={false}
            {...(secret ? { "data-autofocus": true } : {})}
            styles={{
              input: {
                fontFamily: "var(--mantine-font-family-monospace)",
                // Masks the value like a password. HTML has no password field of several lines.
                WebkitTextSecurity: shown ? "none" : "disc",
              } as Record<string, string>,
            }}
          />
          <Checkbox
            label="Show the value"
            checked={shown}
            onChange={(event) => setShown(event.currentTarget.checked)}
          />
          <TextInput
            label="Description"
            description="What the secret is for; visible to all users"
            value={description}
            onChange={edit(setDescription)}
            error={refused.fields.get("description")}
          />
          {words && <ErrorNote words={words} />}
          <Group justify="flex-end">
            <Button variant="default" onClick={onClose}>
              Close
            </Button>
            <Button type="submit" loading={isPending} disabled={taken}>
              {secret ? "Replace" : "Add secret"}
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}
