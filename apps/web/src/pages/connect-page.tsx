import { Anchor, Button, Group, Loader, Stack, Text, TextInput } from "@mantine/core";
import { IconTerminal2 } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { Link, useSearchParams } from "react-router";
import { getSession } from "../api-client/endpoints.ts";
import { queryKeys } from "../api-client/query-client.ts";
import { ConfirmLogin } from "../features/account/confirm-login.tsx";
import { EmptyState } from "../ui/empty-state.tsx";
import { ErrorPanel } from "../ui/error-panel.tsx";
import { PageHeader } from "../ui/page-header.tsx";
import { usePageIdentity } from "../ui/page-identity.ts";

/** The page that `airlock login` opens: the person confirms that the command line may get an access token. */
export function ConnectPage() {
  usePageIdentity("Log in a command line");
  const [search, setSearch] = useSearchParams();
  const [typed, setTyped] = useState("");
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
      <EmptyState icon={IconTerminal2} title="No account" order={1}>
        <Text c="dimmed">
          You are logged in with the administrator's token, which has no account. Log in as a user, or give the token to{" "}
          <code>airlock login --token</code>. Administrators create users under{" "}
          <Anchor component={Link} to="/users" underline="always">
            Users
          </Anchor>
          .
        </Text>
      </EmptyState>
    );
  }
  const code = search.get("code") ?? "";
  const submit = (event: FormEvent) => {
    event.preventDefault();
    setSearch({ code: typed.trim() });
  };
  return (
    <>
      <PageHeader title="Log in a command line" description={`As ${data.user.name}`} />
      {code === "" ? (
        <form onSubmit={submit}>
          <Stack gap="md" maw={480}>
            <TextInput
              label="Code"
              description="The one that airlock login shows in your terminal"
              value={typed}
              onChange={(event) => setTyped(event.currentTarget.value)}
              maxLength={20}
              required
            />
            <Group>
              <Button type="submit">Next</Button>
            </Group>
          </Stack>
        </form>
      ) : (
        <ConfirmLogin key={code} code={code} onOther={() => setSearch({})} />
      )}
    </>
  );
}
