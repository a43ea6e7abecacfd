import type { OrganizationRole } from "@airlock/api";
import { Button, Group, NativeSelect, Paper, TextInput } from "@mantine/core";
import { IconUserPlus } from "@tabler/icons-react";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { errorWords } from "../../api-client/error-words.ts";
import { setMember } from "../../api-client/organization-endpoints.ts";
import { queryKeys } from "../../api-client/query-client.ts";
import { fieldErrors } from "../../forms/field-errors.ts";
import { announce } from "../../ui/announcer.tsx";
import { ErrorNote } from "../../ui/error-note.tsx";
import { organizationRoleWords } from "../users/role-words.ts";
import { asRole, roleChoices } from "./role-choices.ts";

/** A form that adds a user to an organization by name. Owners can't list users, so they type the name. */
export function AddMember({ organization }: { readonly organization: string }) {
  const client = useQueryClient();
  const [user, setUser] = useState("");
  const [role, setRole] = useState<OrganizationRole>("member");
  const { mutate, isPending, error, reset } = useMutation({
    mutationFn: () => setMember(organization, user.trim(), role),
    onSuccess: async () => {
      announce(`${user.trim()} added as ${role}`);
      setUser("");
      await client.invalidateQueries({ queryKey: queryKeys.organizations });
    },
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (user.trim() !== "") mutate();
  };
  const refused = fieldErrors(error, ["user", "role"], {
    "not-found": { field: "user", hint: "Check the spelling, or ask an administrator to create the user." },
    "last-owner": { field: "role" },
  });
  return (
    <Paper withBorder p="md" bg="var(--airlock-surface)" component="section" aria-label="Add a member">
      <form onSubmit={submit} autoComplete="off">
        <Group align="flex-start" gap="sm">
          <TextInput
            label="User name"
            description="Of a user of this instance"
            value={user}
            onChange={(event) => {
              setUser(event.currentTarget.value);
              reset();
            }}
            error={refused.fields.get("user")}
            required
            maxLength={100}
            spellCheck={false}
            autoCapitalize="none"
            style={{ flex: "2 1 200px" }}
          />
          <NativeSelect
            label="Role"
            description={`A ${role} ${organizationRoleWords[role].may}`}
            data={[...roleChoices]}
            value={role}
            onChange={(event) => {
              setRole(asRole(event.currentTarget.value));
              reset();
            }}
            error={refused.fields.get("role")}
            style={{ flex: "2 1 260px" }}
          />
          <Button
            type="submit"
            loading={isPending}
            leftSection={<IconUserPlus size={16} />}
            mt={{ base: 0, sm: 46 }}
            w={{ base: "100%", sm: "auto" }}
          >
            Add
          </Button>
        </Group>
        {refused.note !== undefined && <ErrorNote words={errorWords(refused.note)} />}
      </form>
    </Paper>
  );
}
