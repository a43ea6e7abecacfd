import { Button, PasswordInput, Stack, TextInput } from "@mantine/core";
import { useMutation } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { errorWords } from "../../api-client/error-words.ts";
import { signIn } from "../../api-client/sign-in-endpoints.ts";
import { ErrorNote } from "../../ui/error-note.tsx";

/** Signs in with an account of the instance's own. */
export function PasswordForm({ onSignedIn }: { readonly onSignedIn: () => Promise<void> }) {
  const [name, setName] = useState("");
  const [password, setPassword] = useState("");
  const { mutate, isPending, error } = useMutation({
    mutationFn: () => signIn(name.trim(), password),
    onSuccess: onSignedIn,
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    mutate();
  };
  return (
    <form onSubmit={submit}>
      <Stack>
        {error && <ErrorNote words={errorWords(error)} />}
        <TextInput
          label="User name"
          name="username"
          value={name}
          onChange={(event) => setName(event.currentTarget.value)}
          autoComplete="username"
          autoCapitalize="none"
          spellCheck={false}
          maxLength={200}
          autoFocus
          required
        />
        <PasswordInput
          label="Password"
          value={password}
          onChange={(event) => setPassword(event.currentTarget.value)}
          autoComplete="current-password"
          maxLength={256}
          required
        />
        <Button type="submit" loading={isPending} fullWidth>
          Log in
        </Button>
      </Stack>
    </form>
  );
}
