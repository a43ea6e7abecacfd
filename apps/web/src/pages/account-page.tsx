import type { SessionView } from "@airlock/api";
import { Anchor, Button, Group, Loader, Stack, Text } from "@mantine/core";
import { IconPlus, IconUserCircle } from "@tabler/icons-react";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { Link } from "react-router";
import { endOtherSessions } from "../api-client/account-endpoints.ts";
import { getSession } from "../api-client/endpoints.ts";
import { queryKeys } from "../api-client/query-client.ts";
import { getSignInMethods } from "../api-client/sign-in-endpoints.ts";
import { IdentitiesSection } from "../features/account/identities-section.tsx";
import { NewAccessTokenDialog } from "../features/account/new-access-token-dialog.tsx";
import { PasswordSection } from "../features/account/password-section.tsx";
import { siteRoleWords } from "../features/users/role-words.ts";
import { UserSessions } from "../features/users/user-sessions.tsx";
import { UserTokens } from "../features/users/user-tokens.tsx";
import { CommandBlock } from "../ui/command-block.tsx";
import { ConfirmDialog } from "../ui/confirm-dialog.tsx";
import { EmptyState } from "../ui/empty-state.tsx";
import { ErrorPanel } from "../ui/error-panel.tsx";
import { PageHeader } from "../ui/page-header.tsx";
import { usePageIdentity } from "../ui/page-identity.ts";
import { ShownOnce } from "../ui/shown-once.tsx";

export function AccountPage() {
  usePageIdentity("Account");
  const { data, error, refetch } = useQuery({
    queryKey: queryKeys.session,
    queryFn: ({ signal }) => getSession({ signal }),
  });
  if (data === undefined) {
    if (error) return <ErrorPanel title="The account could not be loaded" error={error} onRetry={refetch} />;
    return <Loader type="dots" aria-label="Loading" />;
  }
  if (data.user === null) {
    return (
      <EmptyState icon={IconUserCircle} title="No account" order={1}>
        <Text c="dimmed">
          You are logged in with the administrator's token, which has no account. Create a user for yourself under{" "}
          <Anchor component={Link} to="/users" underline="always">
            Users
          </Anchor>
          , and keep the token for automation.
        </Text>
      </EmptyState>
    );
  }
  return <Account session={data} user={data.user} />;
}

interface AccountProps {
  readonly session: SessionView;
  readonly user: NonNullable<SessionView["user"]>;
}

type Dialog = "token" | "others" | { readonly name: string; readonly token: string };

function Account({ session, user }: AccountProps) {
  const client = useQueryClient();
  const methods = useQuery({
    queryKey: queryKeys.signInMethods,
    queryFn: ({ signal }) => getSignInMethods({ signal }),
  });
  const provider = methods.data?.openIdConnect;
  const [dialog, setDialog] = useState<Dialog>();
  const close = () => setDialog(undefined);
  const organizations = session.namespaces.filter(({ name }) => name !== user.name);
  return (
    <>
      <PageHeader
        title={user.displayName === "" ? user.name : user.displayName}
        help="account"
        description={`${user.name} · ${siteRoleWords[session.role]} of this instance`}
      />
      {dialog === "token" && (
        <NewAccessTokenDialog
          user={user.name}
          onClose={close}
          onCreated={(name, token) => setDialog({ name, token })}
        />
      )}
      {dialog === "others" && (
        <ConfirmDialog
          title="End all other sessions?"
          confirmLabel="End sessions"
          cancelLabel="Keep them"
          done="All other sessions ended"
          action={async () => {
            await endOtherSessions();
            await client.invalidateQueries({ queryKey: queryKeys.userSessions(user.name) });
          }}
          onClose={close}
        >
          <Text size="sm">You are signed out everywhere but in this browser. Access tokens keep working.</Text>
        </ConfirmDialog>
      )}
      {typeof dialog === "object" && (
        <ShownOnce title={`Token “${dialog.name}”`} label="Token" secret={dialog.token} onClose={close}>
          <Text size="sm">Programs send it in a header, and never in an address:</Text>
          <CommandBlock
            label="Command"
            wrap
            text={`curl -H "Authorization: Bearer ${dialog.token}" ${window.location.origin}/api/v1/jobs`}
          />
        </ShownOnce>
      )}
      {organizations.length > 0 && (
        <Text size="sm" mb="md">
          Your organizations:{" "}
          {organizations.map(({ name, role }, index) => (
            <span key={name}>
              {index > 0 && ", "}
              <Anchor component={Link} to={`/organizations/${encodeURIComponent(name)}`} size="sm" underline="always">
                {name}
              </Anchor>{" "}
              ({role})
            </span>
          ))}
        </Text>
      )}
      <Stack gap="md">
        {methods.data?.password && <PasswordSection user={user.name} />}
        {provider && <IdentitiesSection provider={provider.label} canLink={methods.data?.password === true} />}
        <UserSessions user={user.name} own />
        <Group>
          <Button variant="default" size="xs" onClick={() => setDialog("others")}>
            End all other sessions
          </Button>
        </Group>
        <UserTokens user={user.name} own />
        <Group>
          <Button size="xs" leftSection={<IconPlus size={14} />} onClick={() => setDialog("token")}>
            New access token
          </Button>
        </Group>
      </Stack>
    </>
  );
}
