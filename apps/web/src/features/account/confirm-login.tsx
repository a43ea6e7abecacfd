import { type CommandLineLoginView, type TokenScope, tokenScopes } from "@airlock/api";
import { Alert, Button, Checkbox, Group, Loader, NativeSelect, Stack, Text, TextInput } from "@mantine/core";
import { IconAlertTriangle, IconTerminal2 } from "@tabler/icons-react";
import { useMutation, useQuery } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import {
  confirmCommandLineLogin,
  getCommandLineLogin,
  refuseCommandLineLogin,
} from "../../api-client/account-endpoints.ts";
import { errorWords } from "../../api-client/error-words.ts";
import { queryKeys } from "../../api-client/query-client.ts";
import { serverNow } from "../../api-client/server-clock.ts";
import { fieldErrors } from "../../forms/field-errors.ts";
import { announce } from "../../ui/announcer.tsx";
import { ErrorNote } from "../../ui/error-note.tsx";
import { ErrorPanel } from "../../ui/error-panel.tsx";
import { expiryOf, lifetimes, scopeWords } from "./token-choices.ts";

interface ConfirmLoginProps {
  readonly code: string;
  /** Asks for another code. */
  readonly onOther: () => void;
}

export function ConfirmLogin({ code, onOther }: ConfirmLoginProps) {
  const { data, error } = useQuery({
    queryKey: queryKeys.commandLineLogin(code),
    queryFn: ({ signal }) => getCommandLineLogin(code, { signal }),
    // Confirming makes the login disappear here, while the page must keep showing its code.
    staleTime: Number.POSITIVE_INFINITY,
    refetchOnReconnect: false,
    refetchOnWindowFocus: false,
  });
  if (data) return <Confirmation login={data} />;
  if (error) {
    return (
      <Stack align="flex-start">
        <ErrorPanel title="This login can't be confirmed" error={error} />
        <Button variant="default" onClick={onOther}>
          Type another code
        </Button>
      </Stack>
    );
  }
  return <Loader type="dots" aria-label="Loading" />;
}

function Confirmation({ login }: { readonly login: CommandLineLoginView }) {
  const [name, setName] = useState(`airlock on ${login.host}`.slice(0, 100));
  const [scopes, setScopes] = useState<readonly TokenScope[]>(["read", "jobs", "secrets", "repositories"]);
  const [days, setDays] = useState("30");
  const { mutate, isPending, error, data, reset } = useMutation({
    mutationFn: () =>
      confirmCommandLineLogin(login.code, {
        name: name.trim(),
        scopes: [...scopes],
        expiresAt: expiryOf(days, serverNow()),
      }),
    onSuccess: () => announce("Confirmed. Type the code into your terminal."),
  });
  const refusal = useMutation({ mutationFn: () => refuseCommandLineLogin(login.code) });
  if (data) {
    return (
      <Alert color="green" icon={<IconTerminal2 />} title="Type this code into your terminal" maw={600}>
        <Stack gap="sm">
          <Text fz={32} ff="monospace" fw={700} data-testid="confirmation-code">
            {data.confirmationCode}
          </Text>
          <Text size="sm">
            Give it to nobody: whoever has it acts as you. Nobody who works on this instance needs it.
          </Text>
        </Stack>
      </Alert>
    );
  }
  if (refusal.isSuccess) {
    return (
      <Text role="status">The login was refused. The command line on {login.host} gets no token. Close this page.</Text>
    );
  }
  const submit = (event: FormEvent) => {
    event.preventDefault();
    mutate();
  };
  const refused = fieldErrors(error ?? refusal.error, ["name", "scopes", "expiresAt"]);
  return (
    <form onSubmit={submit} autoComplete="off">
      <Stack gap="md" maw={600}>
        <Text>
          A command line on <b>{login.host}</b> (address {login.address}) asks for an access token of yours. Confirm
          only if you started <code>airlock login</code> yourself, and your terminal shows this code:
        </Text>
        <Text fz={32} ff="monospace" fw={700}>
          {login.code}
        </Text>
        <Alert color="yellow" icon={<IconAlertTriangle />}>
          Did somebody send you the link to this page? Then refuse.
        </Alert>
        <TextInput
          label="Name of the token"
          value={name}
          onChange={(event) => {
            setName(event.currentTarget.value);
            reset();
          }}
          error={refused.fields.get("name")}
          maxLength={100}
          required
        />
        <Checkbox.Group
          label="Permits"
          description="Never more than you may do yourself"
          value={[...scopes]}
          onChange={(next) => {
            setScopes(tokenScopes.filter((scope) => next.includes(scope)));
            reset();
          }}
          error={refused.fields.get("scopes")}
        >
          <Stack gap="xs" mt="xs">
            {tokenScopes.map((scope) => (
              <Checkbox key={scope} value={scope} label={scope} description={scopeWords[scope]} />
            ))}
          </Stack>
        </Checkbox.Group>
        <NativeSelect
          label="Valid for"
          data={[...lifetimes]}
          value={days}
          onChange={(event) => {
            setDays(event.currentTarget.value);
            reset();
          }}
          error={refused.fields.get("expiresAt")}
        />
        {refused.note !== undefined && <ErrorNote words={errorWords(refused.note)} />}
        <Group>
          <Button type="submit" loading={isPending} disabled={scopes.length === 0 || refusal.isPending}>
            Confirm
          </Button>
          <Button variant="default" onClick={() => refusal.mutate()} loading={refusal.isPending} disabled={isPending}>
            Refuse
          </Button>
        </Group>
      </Stack>
    </form>
  );
}
