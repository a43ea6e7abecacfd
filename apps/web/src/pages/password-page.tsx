import { Anchor, Button, PasswordInput, Stack, Text } from "@mantine/core";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useEffect, useState } from "react";
import { Link, useLocation, useNavigate } from "react-router";
import { errorWords } from "../api-client/error-words.ts";
import { setPassword } from "../api-client/sign-in-endpoints.ts";
import { Entrance } from "../features/sign-in/entrance.tsx";
import { fieldErrors } from "../forms/field-errors.ts";
import { ErrorNote } from "../ui/error-note.tsx";
import { usePageIdentity } from "../ui/page-identity.ts";

/** The page of a one-time link: the user chooses a password and is signed in. */
export function PasswordPage() {
  usePageIdentity("Choose a password");
  const location = useLocation();
  const navigate = useNavigate();
  const client = useQueryClient();
  const [token, setToken] = useState("");
  const [password, setText] = useState("");
  const { mutate, isPending, error, reset } = useMutation({
    mutationFn: () => setPassword(token, password),
    onSuccess: async () => {
      client.clear();
      await navigate("/jobs", { replace: true });
    },
  });

  useEffect(() => {
    const offered = new URLSearchParams(location.hash.slice(1)).get("token");
    if (!offered) return;
    setToken(offered);
    // Not in the history, where the next reader of this browser would find it.
    void navigate({ hash: "" }, { replace: true });
  }, [location.hash, navigate]);

  const submit = (event: FormEvent) => {
    event.preventDefault();
    mutate();
  };
  const refused = fieldErrors(error, ["password"]);
  return (
    <Entrance title="Choose a password">
      <form onSubmit={submit}>
        <Stack>
          {token === "" ? (
            <Text size="sm">
              This page needs the whole link that an administrator gave you. Open the link again, or ask for a new one.{" "}
              <Anchor component={Link} to="/login" size="sm" underline="always">
                Log in
              </Anchor>
            </Text>
          ) : (
            <>
              <PasswordInput
                label="New password"
                description="At least 12 characters. Several unrelated words are easy to remember and hard to guess."
                value={password}
                onChange={(event) => {
                  setText(event.currentTarget.value);
                  reset();
                }}
                error={refused.fields.get("password")}
                aria-invalid={refused.fields.has("password")}
                autoComplete="new-password"
                maxLength={256}
                required
                autoFocus
              />
              {refused.note !== undefined && <ErrorNote words={errorWords(refused.note)} />}
              <Button type="submit" loading={isPending} fullWidth>
                Set the password and log in
              </Button>
              <Text size="xs" c="dimmed">
                This ends your other sessions. The link works once.
              </Text>
            </>
          )}
        </Stack>
      </form>
    </Entrance>
  );
}
