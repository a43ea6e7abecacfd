import { type TokenScope, tokenScopes } from "@airlock/api";
import { Button, Checkbox, Group, Modal, NativeSelect, Stack, TextInput } from "@mantine/core";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { createOwnToken } from "../../api-client/account-endpoints.ts";
import { errorWords } from "../../api-client/error-words.ts";
import { queryKeys } from "../../api-client/query-client.ts";
import { serverNow } from "../../api-client/server-clock.ts";
import { fieldErrors } from "../../forms/field-errors.ts";
import { announce } from "../../ui/announcer.tsx";
import { ErrorNote } from "../../ui/error-note.tsx";
import { expiryOf, lifetimes, scopeWords } from "./token-choices.ts";

interface NewAccessTokenDialogProps {
  readonly user: string;
  readonly onClose: () => void;
  readonly onCreated: (name: string, token: string) => void;
}

export function NewAccessTokenDialog({ user, onClose, onCreated }: NewAccessTokenDialogProps) {
  const client = useQueryClient();
  const [name, setName] = useState("");
  const [scopes, setScopes] = useState<readonly TokenScope[]>(["read"]);
  const [days, setDays] = useState("30");
  const { mutate, isPending, error, reset } = useMutation({
    mutationFn: () =>
      createOwnToken({ name: name.trim(), scopes: [...scopes], expiresAt: expiryOf(days, serverNow()) }),
    onSuccess: async (created) => {
      announce(`Access token ${created.name} created`);
      await client.invalidateQueries({ queryKey: queryKeys.userTokens(user) });
      onCreated(created.name, created.token);
    },
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    mutate();
  };
  const refused = fieldErrors(error, ["name", "scopes", "expiresAt"]);
  return (
    <Modal opened onClose={onClose} title="New access token" size="lg">
      <form onSubmit={submit} autoComplete="off">
        <Stack gap="md">
          <TextInput
            label="Name"
            description="What uses the token, such as a script or a machine"
            value={name}
            onChange={(event) => {
              setName(event.currentTarget.value);
              reset();
            }}
            error={refused.fields.get("name")}
            maxLength={100}
            required
            data-autofocus
          />
          <Checkbox.Group
            label="Permits"
            description="Never more than you may do yourself"
            value={[...scopes]}
            onChange={(next) => {
              setScopes(tokenScopes.filter((scope) => next.includes(scope)));
              reset();
            }}
            error={refused.fields.get("scopes")}
          >
            <Stack gap="xs" mt="xs">
              {tokenScopes.map((scope) => (
                <Checkbox key={scope} value={scope} label={scope} description={scopeWords[scope]} />
              ))}
            </Stack>
          </Checkbox.Group>
          <NativeSelect
            label="Valid for"
            data={[...lifetimes]}
            value={days}
            onChange={(event) => {
              setDays(event.currentTarget.value);
              reset();
            }}
            error={refused.fields.get("expiresAt")}
          />
          {refused.note !== undefined && <ErrorNote words={errorWords(refused.note)} />}
          <Group justify="flex-end">
            <Button variant="default" onClick={onClose}>
              Close
            </Button>
            <Button type="submit" loading={isPending} disabled={scopes.length === 0}>
              Create token
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}
