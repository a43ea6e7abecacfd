import type { PasswordLink, SiteRole } from "@airlock/api";
import { Button, Group, Modal, Radio, Stack, TextInput } from "@mantine/core";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { errorWords } from "../../api-client/error-words.ts";
import { queryKeys } from "../../api-client/query-client.ts";
import { createPasswordLink, createUser } from "../../api-client/user-endpoints.ts";
import { fieldErrors } from "../../forms/field-errors.ts";
import { announce } from "../../ui/announcer.tsx";
import { ErrorNote } from "../../ui/error-note.tsx";

interface NewUserDialogProps {
  readonly onClose: () => void;
  readonly onCreated: (user: string, link: PasswordLink) => void;
}

const fields = ["name", "displayName", "role"] as const;

export function NewUserDialog({ onClose, onCreated }: NewUserDialogProps) {
  const client = useQueryClient();
  const [name, setName] = useState("");
  const [displayName, setDisplayName] = useState("");
  const [role, setRole] = useState<SiteRole>("member");
  /** The user was created, and the link is missing. */
  const [created, setCreated] = useState<string>();
  const { mutate, isPending, error, reset } = useMutation({
    mutationFn: async () => {
      const user = created ?? (await createUser({ name: name.trim(), displayName: displayName.trim(), role })).name;
      setCreated(user);
      await client.invalidateQueries({ queryKey: queryKeys.users });
      return { user, link: await createPasswordLink(user) };
    },
    onSuccess: ({ user, link }) => {
      announce(`User ${user} created`);
      onCreated(user, link);
    },
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    mutate();
  };
  const refused = fieldErrors(error, fields, { "name-taken": { field: "name" } });
  return (
    <Modal opened onClose={onClose} title="New user" size="lg">
      <form onSubmit={submit} autoComplete="off">
        <Stack gap="md">
          <TextInput
            label="User name"
            description="Lower-case letters, digits and hyphens. It can't be changed later, and is never free again."
            value={name}
            onChange={(event) => {
              setName(event.currentTarget.value);
              reset();
            }}
            error={refused.fields.get("name")}
            disabled={created !== undefined}
            maxLength={100}
            required
            spellCheck={false}
            autoCapitalize="none"
            data-autofocus
          />
          <TextInput
            label="Full name"
            value={displayName}
            onChange={(event) => {
              setDisplayName(event.currentTarget.value);
              reset();
            }}
            error={refused.fields.get("displayName")}
            disabled={created !== undefined}
            maxLength={100}
          />
          <Radio.Group
            label="Role on this instance"
            value={role}
            onChange={(next) => setRole(next === "administrator" ? "administrator" : "member")}
            error={refused.fields.get("role")}
          >
            <Stack gap="xs" mt="xs">
              <Radio
                value="member"
                label="Member"
                description="Has a namespace of the user's own name, and sees the organizations that the user is in"
                disabled={created !== undefined}
              />
              <Radio
                value="administrator"
                label="Administrator"
                description="May do everything, also read all jobs and logs"
                disabled={created !== undefined}
              />
            </Stack>
          </Radio.Group>
          {refused.note !== undefined && <ErrorNote words={errorWords(refused.note)} />}
          <Group justify="flex-end">
            <Button variant="default" onClick={onClose}>
              Close
            </Button>
            <Button type="submit" loading={isPending}>
              {created === undefined ? "Create user" : "Create the link again"}
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}
