import type { SignInMethods } from "@airlock/api";
import { Anchor, Button, Center, Loader, Paper, Stack, Text, Title } from "@mantine/core";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { useLocation, useNavigate, useSearchParams } from "react-router";
import { createSession } from "../api-client/endpoints.ts";
import { queryKeys } from "../api-client/query-client.ts";
import { getSignInMethods } from "../api-client/sign-in-endpoints.ts";
import { PasswordForm } from "../features/sign-in/password-form.tsx";
import { TokenForm } from "../features/sign-in/token-form.tsx";
import { Logo } from "../ui/logo.tsx";
import { usePageIdentity } from "../ui/page-identity.ts";
import { returnPath } from "./return-path.ts";

export function LoginPage() {
  usePageIdentity("Log in");
  const [search] = useSearchParams();
  const location = useLocation();
  const navigate = useNavigate();
  const client = useQueryClient();
  const [asksToken, setAsksToken] = useState(false);
  const methods = useQuery({
    queryKey: queryKeys.signInMethods,
    queryFn: ({ signal }) => getSignInMethods({ signal }),
  });
  const next = returnPath(search, window.location.origin);
  const signedIn = async () => {
    client.clear();
    await navigate(next, { replace: true });
  };
  const { mutate, isPending, error } = useMutation({ mutationFn: createSession, onSuccess: signedIn });

  useEffect(() => {
    const offered = new URLSearchParams(location.hash.slice(1)).get("token");
    if (!offered) return;
    setAsksToken(true);
    // Remove the token from the URL and the history first.
    void navigate({ search: location.search, hash: "" }, { replace: true });
    mutate(offered);
  }, [location.hash, location.search, mutate, navigate]);

  const byToken = asksToken || methods.isError || (methods.data !== undefined && !hasAccounts(methods.data));
  const sso = methods.data?.openIdConnect ?? null;
  return (
    <Center component="main" mih="100dvh" p="md">
      <Paper withBorder shadow="sm" p="xl" w="100%" maw={420} bg="var(--airlock-surface)">
        <Stack>
          <Stack gap="xs" align="center">
            <Logo size={48} />
            <Title order={1} size="h3">
              Log in to airlock
            </Title>
            {byToken && (
              <Text c="dimmed" size="sm" ta="center">
                With the administrator's token. <code>airlock dev</code> and <code>airlock server</code> print a link
                that logs you in.
                {methods.data?.needsSetUp && " This instance has no users yet: create the first one under Users."}
              </Text>
            )}
          </Stack>
          {!byToken && methods.data === undefined && (
            <Center>
              <Loader type="dots" aria-label="Loading" />
            </Center>
          )}
          {byToken && <TokenForm pending={isPending} error={error} onSubmit={mutate} />}
          {!byToken && sso !== null && (
            <Button
              component="a"
              href={`${sso.path}?${new URLSearchParams({ next })}`}
              variant={methods.data?.password ? "default" : "filled"}
              fullWidth
            >
              Log in with {sso.label}
            </Button>
          )}
          {!byToken && methods.data?.password && <PasswordForm onSignedIn={signedIn} />}
          {methods.data && hasAccounts(methods.data) && (
            <Anchor component="button" type="button" size="sm" ta="center" onClick={() => setAsksToken(!byToken)}>
              {byToken ? "Log in with your account" : "Use the administrator's token"}
            </Anchor>
          )}
        </Stack>
      </Paper>
    </Center>
  );
}

/** Whether people can sign in with an account. */
function hasAccounts({ password, openIdConnect, needsSetUp }: SignInMethods): boolean {
  return openIdConnect !== null || (password && !needsSetUp);
}
