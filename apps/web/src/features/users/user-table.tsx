import type { UserView } from "@airlock/api";
import { Anchor, Badge, Group, Table, Text } from "@mantine/core";
import { memo } from "react";
import { Link } from "react-router";
import { CalendarTime } from "../../ui/calendar-time.tsx";
import classes from "../../ui/list.module.css";
import { siteRoleWords } from "./role-words.ts";

export function UserTable({ users }: { readonly users: readonly UserView[] }) {
  return (
    <div className={classes.frame}>
      <Table verticalSpacing="sm" horizontalSpacing="md" highlightOnHover highlightOnHoverColor="var(--airlock-hover)">
        <Table.Thead>
          <Table.Tr>
            <Table.Th>User</Table.Th>
            <Table.Th visibleFrom="sm">Full name</Table.Th>
            <Table.Th>Role</Table.Th>
            <Table.Th visibleFrom="sm">Created</Table.Th>
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {users.map((user) => (
            <UserRow key={user.name} user={user} />
          ))}
        </Table.Tbody>
      </Table>
    </div>
  );
}

/** Not rendered again when further pages are loaded. */
const UserRow = memo(function UserRow({ user }: { readonly user: UserView }) {
  return (
    <Table.Tr className={classes.row}>
      <Table.Td>
        <Anchor
          component={Link}
          to={`/users/${encodeURIComponent(user.name)}`}
          className={classes.link}
          fw={600}
          size="sm"
          style={{ overflowWrap: "anywhere" }}
        >
          {user.name}
        </Anchor>
        {user.displayName !== "" && (
          <Text size="xs" c="dimmed" hiddenFrom="sm" style={{ overflowWrap: "anywhere" }}>
            {user.displayName}
          </Text>
        )}
      </Table.Td>
      <Table.Td visibleFrom="sm">
        <Text size="sm" style={{ overflowWrap: "anywhere" }}>
          {user.displayName}
        </Text>
      </Table.Td>
      <Table.Td>
        <UserBadges user={user} />
      </Table.Td>
      <Table.Td visibleFrom="sm">
        <Text size="sm" c="dimmed" component="div" style={{ whiteSpace: "nowrap" }}>
          <CalendarTime at={user.createdAt} day />
        </Text>
      </Table.Td>
    </Table.Tr>
  );
});

export function UserBadges({ user }: { readonly user: UserView }) {
  return (
    <Group gap={6}>
      {user.role === "administrator" ? (
        <Badge variant="light" color="blue" tt="none" miw="max-content">
          {siteRoleWords.administrator}
        </Badge>
      ) : (
        <Text size="sm">{siteRoleWords.member}</Text>
      )}
      {user.disabled && (
        <Badge variant="light" color="red" tt="none">
          Disabled
        </Badge>
      )}
    </Group>
  );
}
