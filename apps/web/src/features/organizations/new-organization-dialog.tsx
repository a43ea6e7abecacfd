import type { OrganizationView } from "@airlock/api";
import { Button, Group, Modal, Stack, TextInput } from "@mantine/core";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { errorWords } from "../../api-client/error-words.ts";
import { createOrganization } from "../../api-client/organization-endpoints.ts";
import { queryKeys } from "../../api-client/query-client.ts";
import { fieldErrors } from "../../forms/field-errors.ts";
import { announce } from "../../ui/announcer.tsx";
import { ErrorNote } from "../../ui/error-note.tsx";

interface NewOrganizationDialogProps {
  readonly onClose: () => void;
  readonly onCreated: (organization: OrganizationView) => void;
}

export function NewOrganizationDialog({ onClose, onCreated }: NewOrganizationDialogProps) {
  const client = useQueryClient();
  const [name, setName] = useState("");
  const [displayName, setDisplayName] = useState("");
  const { mutate, isPending, error, reset } = useMutation({
    mutationFn: () => createOrganization({ name: name.trim(), displayName: displayName.trim() }),
    onSuccess: async (organization) => {
      announce(`Organization ${organization.name} created`);
      await client.invalidateQueries({ queryKey: queryKeys.organizations });
      onCreated(organization);
    },
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    mutate();
  };
  const refused = fieldErrors(error, ["name", "displayName"], { "name-taken": { field: "name" } });
  return (
    <Modal opened onClose={onClose} title="New organization">
      <form onSubmit={submit} autoComplete="off">
        <Stack gap="md">
          <TextInput
            label="Name"
            description="The namespace of its jobs and secrets: lower-case letters, digits and hyphens. It can't be changed later."
            value={name}
            onChange={(event) => {
              setName(event.currentTarget.value);
              reset();
            }}
            error={refused.fields.get("name")}
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
            maxLength={100}
          />
          {refused.note !== undefined && <ErrorNote words={errorWords(refused.note)} />}
          <Group justify="flex-end">
            <Button variant="default" onClick={onClose}>
              Close
            </Button>
            <Button type="submit" loading={isPending}>
              Create organization
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}
