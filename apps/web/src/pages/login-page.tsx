import { Alert, Button, Center, Paper, PasswordInput, Stack, Text, Title } from "@mantine/core";
import { IconAlertCircle } from "@tabler/icons-react";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useEffect, useState } from "react";
import { useLocation, useNavigate, useSearchParams } from "react-router";
import { createSession } from "../api-client/endpoints.ts";
import { errorWords } from "../api-client/error-words.ts";
import { ApiRequestError } from "../api-client/http.ts";
import { Logo } from "../ui/logo.tsx";
import { usePageIdentity } from "../ui/page-identity.ts";
import { returnPath } from "./return-path.ts";

export function LoginPage() {
  usePageIdentity("Log in");
  const [token, setToken] = useState("");
  const [search] = useSearchParams();
  const location = useLocation();
  const navigate = useNavigate();
  const client = useQueryClient();
  const { mutate, isPending, error } = useMutation({
    mutationFn: createSession,
    onSuccess: async () => {
      client.clear();
      await navigate(returnPath(search, window.location.origin), { replace: true });
    },
  });

  useEffect(() => {
    const offered = new URLSearchParams(location.hash.slice(1)).get("token");
    if (!offered) return;
    // Remove the token from the URL and the history first.
    void navigate({ search: location.search, hash: "" }, { replace: true });
    mutate(offered);
  }, [location.hash, location.search, mutate, navigate]);

  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (token.trim() !== "") mutate(token.trim());
  };
  const refused = error instanceof ApiRequestError && (error.status === 401 || error.status === 403);
  return (
    <Center component="main" mih="100dvh" p="md">
      <Paper withBorder shadow="sm" p="xl" w="100%" maw={420} bg="var(--airlock-surface)">
        <form onSubmit={submit}>
          <Stack>
            <Stack gap="xs" align="center">
              <Logo size={48} />
              <Title order={1} size="h3">
                Log in to airlock
              </Title>
              <Text c="dimmed" size="sm" ta="center">
                With the administrator's token. <code>airlock dev</code> and <code>airlock server</code> print a link
                that logs you in.
              </Text>
            </Stack>
            {error && (
              <Alert color="red" icon={<IconAlertCircle />} role="alert">
                {refused ? "This token is not valid." : errorWords(error).message}
              </Alert>
            )}
            {/* Password managers store a password only together with a user name. */}
            <input type="text" name="username" autoComplete="username" value="administrator" readOnly hidden />
            <PasswordInput
              label="Token"
              value={token}
              onChange={(event) => setToken(event.currentTarget.value)}
              autoComplete="current-password"
              autoFocus
              required
            />
            <Button type="submit" loading={isPending} fullWidth>
              Log in
            </Button>
          </Stack>
        </form>
      </Paper>
    </Center>
  );
}
