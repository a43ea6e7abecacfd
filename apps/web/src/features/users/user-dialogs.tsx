import type { SiteRole, UserView } from "@airlock/api";
import { List, Text } from "@mantine/core";
import { useQueryClient } from "@tanstack/react-query";
import { queryKeys } from "../../api-client/query-client.ts";
import { updateUser } from "../../api-client/user-endpoints.ts";
import { ConfirmDialog } from "../../ui/confirm-dialog.tsx";

interface UserDialogProps {
  readonly user: UserView;
  /** The reader is this user. */
  readonly own: boolean;
  readonly onClose: () => void;
}

/** Asks before the user becomes an administrator, or stops being one. */
export function SiteRoleDialog({ user, own, onClose }: UserDialogProps) {
  const client = useQueryClient();
  const next: SiteRole = user.role === "administrator" ? "member" : "administrator";
  const demotes = next === "member";
  return (
    <ConfirmDialog
      title={demotes ? `Take the role of administrator from ${user.name}?` : `Make ${user.name} an administrator?`}
      confirmLabel={demotes ? "Make a member" : "Make an administrator"}
      cancelLabel="Keep the role"
      destructive={demotes}
      done={demotes ? `${user.name} is a member` : `${user.name} is an administrator`}
      action={async () => {
        await updateUser(user.name, { role: next });
        await client.invalidateQueries({ queryKey: own ? queryKeys.session : queryKeys.users });
        await client.invalidateQueries({ queryKey: queryKeys.users });
      }}
      onClose={onClose}
    >
      <Text size="sm">
        {demotes
          ? `${own ? "You see" : `${user.name} sees`} only the organizations of which ${own ? "you are" : `${user.name} is`} a member from now on, and can't manage users, queues and executors.`
          : `Administrators read all jobs and logs, change all secrets, and manage users, queues and executors.`}
      </Text>
      {demotes && own && (
        <Text size="sm">You can't give the role back to yourself: another administrator must do that.</Text>
      )}
    </ConfirmDialog>
  );
}

/** Asks before a user is disabled. */
export function DisableDialog({ user, own, onClose }: UserDialogProps) {
  const client = useQueryClient();
  return (
    <ConfirmDialog
      title={`Disable ${user.name}?`}
      confirmLabel="Disable user"
      cancelLabel="Keep the user"
      done={`User ${user.name} disabled`}
      action={async () => {
        await updateUser(user.name, { disabled: true });
        await client.invalidateQueries({ queryKey: queryKeys.users });
      }}
      onClose={onClose}
    >
      <List size="sm" spacing={4}>
        <List.Item>{own ? "You are" : `${user.name} is`} signed out everywhere, and can't sign in.</List.Item>
        <List.Item>Access tokens and one-time links stop working.</List.Item>
        <List.Item>Jobs go on, and jobs, logs, secrets and memberships stay.</List.Item>
        <List.Item>The name stays taken. An administrator can enable the user again.</List.Item>
      </List>
    </ConfirmDialog>
  );
}

export function EnableDialog({ user, onClose }: UserDialogProps) {
  const client = useQueryClient();
  return (
    <ConfirmDialog
      title={`Enable ${user.name}?`}
      confirmLabel="Enable user"
      cancelLabel="Keep disabled"
      destructive={false}
      done={`User ${user.name} enabled`}
      action={async () => {
        await updateUser(user.name, { disabled: false });
        await client.invalidateQueries({ queryKey: queryKeys.users });
      }}
      onClose={onClose}
    >
      <Text size="sm">
        {user.name} can sign in with the earlier password, and earlier access tokens work again. If the password may be
        known to others, create a new link first.
      </Text>
    </ConfirmDialog>
  );
}
