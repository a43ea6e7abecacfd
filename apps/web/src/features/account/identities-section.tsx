import { Button, Group, Modal, Paper, PasswordInput, Stack, Text, Title } from "@mantine/core";
import { useMutation, useQuery } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { linkIdentity, listIdentities } from "../../api-client/account-endpoints.ts";
import { errorWords } from "../../api-client/error-words.ts";
import { queryKeys } from "../../api-client/query-client.ts";
import { fieldErrors } from "../../forms/field-errors.ts";
import { ErrorNote } from "../../ui/error-note.tsx";
import { RelativeTime } from "../../ui/relative-time.tsx";
import { visibleText } from "../../ui/visible-text.ts";

interface IdentitiesSectionProps {
  /** How the instance names the provider. */
  readonly provider: string;
  /** Whether a password can confirm that the reader links an account. */
  readonly canLink: boolean;
}

/** The accounts of the OpenID Connect provider with which the reader can log in. */
export function IdentitiesSection({ provider, canLink }: IdentitiesSectionProps) {
  const [asks, setAsks] = useState(false);
  const { data, error } = useQuery({
    queryKey: queryKeys.identities,
    queryFn: ({ signal }) => listIdentities({ signal }),
  });
  return (
    <Paper component="section" withBorder p="md" bg="var(--airlock-surface)" aria-label={provider}>
      <Group justify="space-between" gap="sm">
        <div style={{ flex: "1 1 260px", minWidth: 0 }}>
          <Title order={2} size="h5">
            {provider}
          </Title>
          {data?.length === 0 && (
            <Text size="sm" c="dimmed" mt={2}>
              No account of {provider} is linked to yours.
            </Text>
          )}
          {data?.map((identity) => (
            <Text key={`${identity.issuer} ${identity.subject}`} size="sm" c="dimmed" mt={2} component="div">
              Account {visibleText(identity.subject)} at {visibleText(identity.issuer)}, linked{" "}
              <RelativeTime at={identity.createdAt} />
            </Text>
          ))}
        </div>
        {canLink && data && (
          <Button variant="default" onClick={() => setAsks(true)}>
            Link an account
          </Button>
        )}
      </Group>
      {error && <ErrorNote words={errorWords(error)} />}
      {asks && <LinkDialog provider={provider} onClose={() => setAsks(false)} />}
    </Paper>
  );
}

function LinkDialog({ provider, onClose }: { readonly provider: string; readonly onClose: () => void }) {
  const [password, setPassword] = useState("");
  const { mutate, isPending, isSuccess, error, reset } = useMutation({
    mutationFn: () => linkIdentity(password),
    onSuccess: (location) => window.location.assign(location),
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    mutate();
  };
  const refused = fieldErrors(error, ["currentPassword"], {
    "sign-in-failed": { field: "currentPassword", hint: "Type the password that you log in with." },
  });
  return (
    <Modal opened onClose={onClose} title={`Link an account of ${provider}`}>
      <form onSubmit={submit}>
        <Stack gap="md">
          <Text size="sm">{provider} asks for the account next. You can log in with it from then on.</Text>
          <PasswordInput
            label="Password"
            value={password}
            onChange={(event) => {
              setPassword(event.currentTarget.value);
              reset();
            }}
            error={refused.fields.get("currentPassword")}
            aria-invalid={refused.fields.has("currentPassword")}
            autoComplete="current-password"
            required
            data-autofocus
          />
          {refused.note !== undefined && <ErrorNote words={errorWords(refused.note)} />}
          <Group justify="flex-end">
            <Button variant="default" onClick={onClose}>
              Close
            </Button>
            <Button type="submit" loading={isPending || isSuccess}>
              Continue
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}
