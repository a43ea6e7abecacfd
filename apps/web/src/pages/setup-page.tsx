import { Anchor, Button, PasswordInput, Stack, TextInput } from "@mantine/core";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { Link, useNavigate, useSearchParams } from "react-router";
import { errorWords } from "../api-client/error-words.ts";
import { setUp } from "../api-client/sign-in-endpoints.ts";
import { Entrance } from "../features/sign-in/entrance.tsx";
import { fieldErrors } from "../forms/field-errors.ts";
import { ErrorNote } from "../ui/error-note.tsx";
import { usePageIdentity } from "../ui/page-identity.ts";
import { returnPath } from "./return-path.ts";

/** Creates the first user of an instance. */
export function SetupPage() {
  usePageIdentity("Create the first administrator");
  const [search] = useSearchParams();
  const navigate = useNavigate();
  const client = useQueryClient();
  const next = returnPath(search, window.location.origin);
  const [name, setName] = useState("");
  const [displayName, setDisplayName] = useState("");
  const [password, setPassword] = useState("");
  const { mutate, isPending, error, reset } = useMutation({
    mutationFn: () => setUp({ name: name.trim(), displayName: displayName.trim(), password }),
    onSuccess: async () => {
      client.clear();
      await navigate(next, { replace: true });
    },
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    mutate();
  };
  const change = (set: (value: string) => void) => (event: { readonly currentTarget: { readonly value: string } }) => {
    set(event.currentTarget.value);
    reset();
  };
  const refused = fieldErrors(error, ["name", "displayName", "password"], {
    "name-taken": { field: "name" },
  });
  return (
    <Entrance
      title="Create the first administrator"
      description="The administrator's token keeps working, for automation and if you lose the password."
    >
      <form onSubmit={submit}>
        <Stack>
          <TextInput
            label="User name"
            description="Lower-case letters, digits and hyphens. It can't be changed later."
            value={name}
            onChange={change(setName)}
            error={refused.fields.get("name")}
            autoComplete="username"
            autoCapitalize="none"
            spellCheck={false}
            maxLength={100}
            autoFocus
            required
          />
          <TextInput
            label="Full name"
            value={displayName}
            onChange={change(setDisplayName)}
            error={refused.fields.get("displayName")}
            autoComplete="name"
            maxLength={100}
          />
          <PasswordInput
            label="Password"
            description="At least 12 characters. Several unrelated words are easy to remember and hard to guess."
            value={password}
            onChange={change(setPassword)}
            error={refused.fields.get("password")}
            aria-invalid={refused.fields.has("password")}
            autoComplete="new-password"
            maxLength={256}
            required
          />
          {refused.note !== undefined && <ErrorNote words={errorWords(refused.note)} />}
          <Button type="submit" loading={isPending} fullWidth>
            Create administrator
          </Button>
          <Anchor component={Link} to={next} size="sm" ta="center" replace>
            Later
          </Anchor>
        </Stack>
      </form>
    </Entrance>
  );
}
