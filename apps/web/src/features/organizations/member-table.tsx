import type { MemberView, OrganizationRole } from "@airlock/api";
import { Button, NativeSelect, Table, Text } from "@mantine/core";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { errorWords } from "../../api-client/error-words.ts";
import { leaveOrganization, removeMember, setMember } from "../../api-client/organization-endpoints.ts";
import { queryKeys } from "../../api-client/query-client.ts";
import { announce } from "../../ui/announcer.tsx";
import { ConfirmDialog } from "../../ui/confirm-dialog.tsx";
import classes from "../../ui/list.module.css";
import { organizationRoleWords } from "../users/role-words.ts";
import { asRole, roleChoices } from "./role-choices.ts";

interface MemberTableProps {
  readonly organization: string;
  readonly members: readonly MemberView[];
  /** The reader's name; `null`: the administrator's token. */
  readonly self: string | null;
  readonly administrator: boolean;
  /** The reader may change members. */
  readonly manages: boolean;
  /** After the reader left. */
  readonly onLeft: () => void;
}

export function MemberTable({ members, ...props }: MemberTableProps) {
  return (
    <div className={classes.frame}>
      <Table verticalSpacing="sm" horizontalSpacing="md">
        <Table.Thead>
          <Table.Tr>
            <Table.Th>Member</Table.Th>
            <Table.Th>Role</Table.Th>
            <Table.Th>
              <span className="visually-hidden">Actions</span>
            </Table.Th>
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {members.map((member) => (
            <Member key={member.user} member={member} {...props} />
          ))}
        </Table.Tbody>
      </Table>
    </div>
  );
}

function Member({
  member,
  organization,
  self,
  administrator,
  manages,
  onLeft,
}: Omit<MemberTableProps, "members"> & { readonly member: MemberView }) {
  const client = useQueryClient();
  const [asked, setAsked] = useState<"remove" | OrganizationRole>();
  const own = member.user === self;
  const refresh = async () => {
    // The reader's own role is also in the session.
    if (own) await client.invalidateQueries({ queryKey: queryKeys.session });
    await client.invalidateQueries({ queryKey: queryKeys.organizations });
  };
  const change = useMutation({
    mutationFn: (role: OrganizationRole) => setMember(organization, member.user, role),
    onSuccess: async (_, role) => {
      announce(`${member.user} is ${role} now`);
      await refresh();
    },
  });
  const leaves = own && !administrator;
  const choose = (role: OrganizationRole) => {
    // An owner without the role can't take it back.
    if (own && !administrator) setAsked(role);
    else change.mutate(role);
  };
  return (
    <Table.Tr>
      <Table.Td>
        <Text size="sm" fw={600} style={{ overflowWrap: "anywhere" }}>
          {member.user}
          {own && (
            <Text span size="sm" c="dimmed" fw={400}>
              {" "}
              (you)
            </Text>
          )}
        </Text>
        {member.displayName !== "" && (
          <Text size="xs" c="dimmed" style={{ overflowWrap: "anywhere" }}>
            {member.displayName}
          </Text>
        )}
      </Table.Td>
      <Table.Td>
        {manages ? (
          <NativeSelect
            aria-label={`Role of ${member.user}`}
            size="xs"
            w={110}
            data={[...roleChoices]}
            value={change.isPending ? change.variables : member.role}
            disabled={change.isPending}
            error={change.error ? errorText(change.error) : undefined}
            onChange={(event) => choose(asRole(event.currentTarget.value))}
          />
        ) : (
          <Text size="sm">{organizationRoleWords[member.role].name}</Text>
        )}
      </Table.Td>
      <Table.Td ta="right">
        {(manages || own) && (
          <Button
            variant="subtle"
            color="red"
            size="compact-sm"
            aria-label={leaves ? `Leave ${organization}` : `Remove ${member.user}`}
            onClick={() => setAsked("remove")}
          >
            {leaves ? "Leave" : "Remove"}
          </Button>
        )}
        {asked === "remove" && (
          <ConfirmDialog
            title={leaves ? `Leave ${organization}?` : `Remove ${member.user} from ${organization}?`}
            confirmLabel={leaves ? "Leave" : "Remove member"}
            cancelLabel={leaves ? "Stay" : "Keep the member"}
            done={leaves ? `You left ${organization}` : `${member.user} removed`}
            action={async () => {
              await (leaves ? leaveOrganization(organization) : removeMember(organization, member.user));
              if (leaves) {
                await client.invalidateQueries({ queryKey: queryKeys.session });
                onLeft();
              }
              await client.invalidateQueries({ queryKey: queryKeys.organizations });
            }}
            onClose={() => setAsked(undefined)}
          >
            <Text size="sm">
              {leaves ? "You no longer see" : `${member.user} no longer sees`} its jobs, logs, artifacts and
              repositories. Open pages end within seconds. Jobs that {leaves ? "you" : member.user} submitted go on.
            </Text>
          </ConfirmDialog>
        )}
        {asked !== undefined && asked !== "remove" && (
          <ConfirmDialog
            title={`Become ${asked} of ${organization}?`}
            confirmLabel={`Become ${asked}`}
            cancelLabel="Keep the role"
            done={`You are ${asked} now`}
            action={async () => {
              await setMember(organization, member.user, asked);
              await refresh();
            }}
            onClose={() => setAsked(undefined)}
          >
            <Text size="sm">
              You can't change members and secrets any more. Only another owner or an administrator can make you an
              owner again.
            </Text>
          </ConfirmDialog>
        )}
      </Table.Td>
    </Table.Tr>
  );
}

function errorText(error: unknown): string {
  const { message, hint } = errorWords(error);
  return hint === undefined ? message : `${message} ${hint}`;
}
