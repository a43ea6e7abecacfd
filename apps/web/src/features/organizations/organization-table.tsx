import type { OrganizationView } from "@airlock/api";
import { Anchor, Table, Text } from "@mantine/core";
import { memo } from "react";
import { Link } from "react-router";
import { CalendarTime } from "../../ui/calendar-time.tsx";
import classes from "../../ui/list.module.css";
import { organizationRoleWords } from "../users/role-words.ts";

export function OrganizationTable({ organizations }: { readonly organizations: readonly OrganizationView[] }) {
  return (
    <div className={classes.frame}>
      <Table verticalSpacing="sm" horizontalSpacing="md" highlightOnHover highlightOnHoverColor="var(--airlock-hover)">
        <Table.Thead>
          <Table.Tr>
            <Table.Th>Organization</Table.Th>
            <Table.Th visibleFrom="sm">Full name</Table.Th>
            <Table.Th>Your role</Table.Th>
            <Table.Th visibleFrom="sm">Created</Table.Th>
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {organizations.map((organization) => (
            <OrganizationRow key={organization.name} organization={organization} />
          ))}
        </Table.Tbody>
      </Table>
    </div>
  );
}

/** Not rendered again when further pages are loaded. */
const OrganizationRow = memo(function OrganizationRow({ organization }: { readonly organization: OrganizationView }) {
  return (
    <Table.Tr className={classes.row}>
      <Table.Td>
        <Anchor
          component={Link}
          to={`/organizations/${encodeURIComponent(organization.name)}`}
          className={classes.link}
          fw={600}
          size="sm"
          style={{ overflowWrap: "anywhere" }}
        >
          {organization.name}
        </Anchor>
        {organization.displayName !== "" && (
          <Text size="xs" c="dimmed" hiddenFrom="sm" style={{ overflowWrap: "anywhere" }}>
            {organization.displayName}
          </Text>
        )}
      </Table.Td>
      <Table.Td visibleFrom="sm">
        <Text size="sm" style={{ overflowWrap: "anywhere" }}>
          {organization.displayName}
        </Text>
      </Table.Td>
      <Table.Td>
        <Text size="sm" c={organization.role === null ? "dimmed" : ""} style={{ whiteSpace: "nowrap" }}>
          {organization.role === null ? "Not a member" : organizationRoleWords[organization.role].name}
        </Text>
      </Table.Td>
      <Table.Td visibleFrom="sm">
        <Text size="sm" c="dimmed" component="div" style={{ whiteSpace: "nowrap" }}>
          <CalendarTime at={organization.createdAt} day />
        </Text>
      </Table.Td>
    </Table.Tr>
  );
});
