import type { PasswordLink as Link, UserView } from "@airlock/api";
import { Anchor, Button, Group, Loader, Paper, Stack, Text, Title } from "@mantine/core";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { type ReactNode, useState } from "react";
import { Link as RouteLink, useParams } from "react-router";
import { getSession } from "../api-client/endpoints.ts";
import { errorWords } from "../api-client/error-words.ts";
import { ApiRequestError } from "../api-client/http.ts";
import { queryKeys } from "../api-client/query-client.ts";
import { createPasswordLink, getUser, updateUser } from "../api-client/user-endpoints.ts";
import { DisplayNameDialog } from "../features/users/display-name-dialog.tsx";
import { PasswordLink } from "../features/users/password-link.tsx";
import { DisableDialog, EnableDialog, SiteRoleDialog } from "../features/users/user-dialogs.tsx";
import { UserSessions } from "../features/users/user-sessions.tsx";
import { UserBadges } from "../features/users/user-table.tsx";
import { UserTokens } from "../features/users/user-tokens.tsx";
import { AdministratorsOnly } from "../ui/administrators-only.tsx";
import { BackLink } from "../ui/back-link.tsx";
import { ErrorNote } from "../ui/error-note.tsx";
import { ErrorPanel } from "../ui/error-panel.tsx";
import { PageHeader } from "../ui/page-header.tsx";
import { usePageIdentity } from "../ui/page-identity.ts";
import { RelativeTime } from "../ui/relative-time.tsx";
import { NotFoundPage } from "./not-found-page.tsx";

export function UserPage() {
  return (
    <AdministratorsOnly>
      <KnownUser />
    </AdministratorsOnly>
  );
}

function KnownUser() {
  const { name = "" } = useParams();
  usePageIdentity(name);
  const { data, error, refetch } = useQuery({
    queryKey: queryKeys.user(name),
    queryFn: ({ signal }) => getUser(name, { signal }),
  });
  if (error instanceof ApiRequestError && error.status === 404) {
    return <NotFoundPage title="User not found">No user of this instance has this name.</NotFoundPage>;
  }
  return (
    <>
      <BackLink to="/users">Users</BackLink>
      {error && data === undefined && (
        <ErrorPanel title="The user could not be loaded" error={error} onRetry={refetch} />
      )}
      {!error && data === undefined && <Loader type="dots" aria-label="Loading" />}
      {data && <User user={data} />}
    </>
  );
}

type Dialog = "name" | "role" | "disable" | "enable" | { readonly link: Link };

function User({ user }: { readonly user: UserView }) {
  const client = useQueryClient();
  const session = useQuery({ queryKey: queryKeys.session, queryFn: ({ signal }) => getSession({ signal }) });
  const [dialog, setDialog] = useState<Dialog>();
  const link = useMutation({
    mutationFn: () => createPasswordLink(user.name),
    onSuccess: (created) => setDialog({ link: created }),
  });
  const close = () => setDialog(undefined);
  const shared = { user, own: session.data?.user?.name === user.name, onClose: close };
  return (
    <>
      <PageHeader title={user.displayName === "" ? user.name : user.displayName} description={user.name}>
        <Button variant="default" onClick={() => setDialog("name")}>
          Change full name
        </Button>
      </PageHeader>
      {dialog === "name" && (
        <DisplayNameDialog
          title={`Full name of ${user.name}`}
          label="Full name"
          value={user.displayName}
          save={async (displayName) => {
            await updateUser(user.name, { displayName });
            await client.invalidateQueries({ queryKey: queryKeys.users });
          }}
          onClose={close}
        />
      )}
      {dialog === "role" && <SiteRoleDialog {...shared} />}
      {dialog === "disable" && <DisableDialog {...shared} />}
      {dialog === "enable" && <EnableDialog {...shared} />}
      {typeof dialog === "object" && <PasswordLink user={user.name} link={dialog.link} onClose={close} />}
      <Group mb="md" style={{ columnGap: "var(--mantine-spacing-lg)", rowGap: 4 }}>
        <UserBadges user={user} />
        <Text size="sm" c="dimmed" component="div">
          created <RelativeTime at={user.createdAt} />
        </Text>
        <Anchor component={RouteLink} size="sm" to={`/jobs?namespace=${encodeURIComponent(user.name)}`}>
          Jobs
        </Anchor>
        <Anchor component={RouteLink} size="sm" to={`/audit?actor=${encodeURIComponent(user.name)}`}>
          Audit log
        </Anchor>
      </Group>
      <Stack gap="md">
        <Setting
          title="Password"
          text={
            user.disabled
              ? "Enable the user before you create a link."
              : "With a one-time link, the user sets a new password. That ends the user's sessions."
          }
        >
          <Button variant="default" loading={link.isPending} disabled={user.disabled} onClick={() => link.mutate()}>
            Create one-time link
          </Button>
        </Setting>
        {link.error && <ErrorNote words={errorWords(link.error)} />}
        <Setting
          title="Role on this instance"
          text={
            user.role === "administrator"
              ? "Administrators may do everything."
              : "Members see their own jobs and those of their organizations."
          }
        >
          <Button variant="default" onClick={() => setDialog("role")}>
            {user.role === "administrator" ? "Make a member" : "Make an administrator"}
          </Button>
        </Setting>
        <Setting
          title={user.disabled ? "Disabled" : "Disable"}
          text={
            user.disabled
              ? "The user can't sign in. Jobs, logs and the name are kept."
              : "The user is signed out everywhere and can't sign in. Users aren't deleted, because jobs and records name them."
          }
        >
          {user.disabled ? (
            <Button variant="default" onClick={() => setDialog("enable")}>
              Enable user
            </Button>
          ) : (
            <Button variant="light" color="red" onClick={() => setDialog("disable")}>
              Disable user
            </Button>
          )}
        </Setting>
        <UserSessions user={user.name} />
        <UserTokens user={user.name} />
      </Stack>
    </>
  );
}

interface SettingProps {
  readonly title: string;
  readonly text: string;
  /** The button. */
  readonly children: ReactNode;
}

function Setting({ title, text, children }: SettingProps) {
  return (
    <Paper component="section" withBorder p="md" bg="var(--airlock-surface)" aria-label={title}>
      <Group justify="space-between" gap="sm">
        <div style={{ flex: "1 1 260px", minWidth: 0 }}>
          <Title order={2} size="h5">
            {title}
          </Title>
          <Text size="sm" c="dimmed" mt={2}>
            {text}
          </Text>
        </div>
        {children}
      </Group>
    </Paper>
  );
}
