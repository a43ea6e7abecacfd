import { Button, PasswordInput, Stack } from "@mantine/core";
import { type FormEvent, useState } from "react";
import { errorWords } from "../../api-client/error-words.ts";
import { ApiRequestError } from "../../api-client/http.ts";
import { ErrorNote } from "../../ui/error-note.tsx";

interface TokenFormProps {
  readonly pending: boolean;
  readonly error: unknown;
  readonly onSubmit: (token: string) => void;
}

/** Logs in with the administrator's token. */
export function TokenForm({ pending, error, onSubmit }: TokenFormProps) {
  const [token, setToken] = useState("");
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (token.trim() !== "") onSubmit(token.trim());
  };
  const refused = error instanceof ApiRequestError && (error.status === 401 || error.status === 403);
  return (
    <form onSubmit={submit}>
      <Stack>
        {error !== null && (
          <ErrorNote words={refused ? { message: "This token is not valid.", hint: undefined } : errorWords(error)} />
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
        <Button type="submit" loading={pending} fullWidth>
          Log in
        </Button>
      </Stack>
    </form>
  );
}
