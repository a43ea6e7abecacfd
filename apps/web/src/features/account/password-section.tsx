import { Button, Group, Paper, PasswordInput, SimpleGrid, Stack, Title } from "@mantine/core";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { changePassword } from "../../api-client/account-endpoints.ts";
import { errorWords } from "../../api-client/error-words.ts";
import { queryKeys } from "../../api-client/query-client.ts";
import { fieldErrors } from "../../forms/field-errors.ts";
import { announce } from "../../ui/announcer.tsx";
import { ErrorNote } from "../../ui/error-note.tsx";

/** Changes the reader's password. */
export function PasswordSection({ user }: { readonly user: string }) {
  const client = useQueryClient();
  const [current, setCurrent] = useState("");
  const [next, setNext] = useState("");
  const { mutate, isPending, isSuccess, error, reset } = useMutation({
    mutationFn: () => changePassword({ currentPassword: current, password: next }),
    onSuccess: async () => {
      announce("Password changed. Your other sessions have ended.");
      setCurrent("");
      setNext("");
      await client.invalidateQueries({ queryKey: queryKeys.userSessions(user) });
    },
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    mutate();
  };
  const refused = fieldErrors(error, ["currentPassword", "password"], {
    "sign-in-failed": { field: "currentPassword", message: "This is not your password.", hint: "" },
  });
  return (
    <Paper component="section" withBorder p="md" bg="var(--airlock-surface)" aria-label="Password">
      <Title order={2} size="h4" mb="sm">
        Password
      </Title>
      <form onSubmit={submit}>
        <Stack gap="md">
          <input type="text" name="username" autoComplete="username" value={user} readOnly hidden />
          <SimpleGrid cols={{ base: 1, sm: 2 }}>
            <PasswordInput
              label="Current password"
              description="So that nobody else at this browser changes it"
              value={current}
              onChange={(event) => {
                setCurrent(event.currentTarget.value);
                reset();
              }}
              error={refused.fields.get("currentPassword")}
              aria-invalid={refused.fields.has("currentPassword")}
              autoComplete="current-password"
              maxLength={256}
              required
            />
            <PasswordInput
              label="New password"
              description="At least 12 characters, and not one of the most common ones"
              value={next}
              onChange={(event) => {
                setNext(event.currentTarget.value);
                reset();
              }}
              error={refused.fields.get("password")}
              aria-invalid={refused.fields.has("password")}
              autoComplete="new-password"
              maxLength={256}
              required
            />
          </SimpleGrid>
          {refused.note !== undefined && <ErrorNote words={errorWords(refused.note)} />}
          <Group gap="sm">
            <Button type="submit" variant="default" loading={isPending}>
              {isSuccess ? "Changed" : "Change password"}
            </Button>
          </Group>
        </Stack>
      </form>
    </Paper>
  );
}
