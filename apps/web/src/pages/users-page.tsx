import type { PasswordLink as Link } from "@airlock/api";
import { Button, Loader, Text } from "@mantine/core";
import { IconPlus, IconUsers } from "@tabler/icons-react";
import { useInfiniteQuery } from "@tanstack/react-query";
import { useState } from "react";
import { queryKeys } from "../api-client/query-client.ts";
import { listUsers } from "../api-client/user-endpoints.ts";
import { NewUserDialog } from "../features/users/new-user-dialog.tsx";
import { PasswordLink } from "../features/users/password-link.tsx";
import { UserTable } from "../features/users/user-table.tsx";
import { AdministratorsOnly } from "../ui/administrators-only.tsx";
import { EmptyState } from "../ui/empty-state.tsx";
import { ErrorPanel } from "../ui/error-panel.tsx";
import { MoreButton } from "../ui/more-button.tsx";
import { PageHeader } from "../ui/page-header.tsx";
import { usePageIdentity } from "../ui/page-identity.ts";
import { SearchField, useSearchText } from "../ui/search-field.tsx";

type Dialog = { readonly kind: "new" } | { readonly kind: "link"; readonly user: string; readonly link: Link };

export function UsersPage() {
  return (
    <AdministratorsOnly>
      <Users />
    </AdministratorsOnly>
  );
}

function Users() {
  usePageIdentity("Users");
  const text = useSearchText();
  const [dialog, setDialog] = useState<Dialog>();
  const list = useInfiniteQuery({
    queryKey: queryKeys.userList(text),
    queryFn: ({ pageParam, signal }) => listUsers({ text, after: pageParam }, { signal }),
    initialPageParam: null as string | null,
    getNextPageParam: (page) => page.next,
  });
  const users = list.data?.pages.flatMap((page) => page.users);
  const close = () => setDialog(undefined);
  return (
    <>
      <PageHeader title="Users" help="people" description="People with an account on this instance">
        <Button leftSection={<IconPlus size={16} />} onClick={() => setDialog({ kind: "new" })}>
          New user
        </Button>
      </PageHeader>
      {dialog?.kind === "new" && (
        <NewUserDialog onClose={close} onCreated={(user, link) => setDialog({ kind: "link", user, link })} />
      )}
      {dialog?.kind === "link" && <PasswordLink user={dialog.user} link={dialog.link} onClose={close} />}
      <SearchField label="Search users" placeholder="Name of a user" />
      {list.error && users === undefined && (
        <ErrorPanel title="The users could not be loaded" error={list.error} onRetry={list.refetch} />
      )}
      {!list.error && users === undefined && <Loader type="dots" aria-label="Loading" />}
      {users?.length === 0 && text === "" && (
        <EmptyState icon={IconUsers} title="No users yet">
          <Text c="dimmed">
            Create the first one with “New user”, and send the person the link that you get. Until then, only the
            administrator's token opens this instance.
          </Text>
        </EmptyState>
      )}
      {users?.length === 0 && text !== "" && (
        <EmptyState icon={IconUsers} title="No user matches">
          {`No name contains “${text}”. Try a part of the user name or of the full name.`}
        </EmptyState>
      )}
      {users && users.length > 0 && <UserTable users={users} />}
      <MoreButton list={list} label="Show more users" />
    </>
  );
}
