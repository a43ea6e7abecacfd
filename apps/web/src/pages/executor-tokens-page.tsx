import type { ExecutorTokenView } from "@airlock/api";
import { Button, Loader, Stack, Text, Title } from "@mantine/core";
import { IconPlus, IconShieldLock } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { listExecutorTokens } from "../api-client/executor-token-endpoints.ts";
import { queryKeys } from "../api-client/query-client.ts";
import { CreatedToken, type NewToken } from "../features/executor-tokens/created-token.tsx";
import { ExecutorTokenCard } from "../features/executor-tokens/executor-token-card.tsx";
import { NewTokenDialog } from "../features/executor-tokens/new-token-dialog.tsx";
import { RevokeDialog } from "../features/executor-tokens/revoke-dialog.tsx";
import { RotateDialog } from "../features/executor-tokens/rotate-dialog.tsx";
import { AdministratorsOnly } from "../ui/administrators-only.tsx";
import { EmptyState } from "../ui/empty-state.tsx";
import { ErrorPanel } from "../ui/error-panel.tsx";
import { PageHeader } from "../ui/page-header.tsx";
import { usePageIdentity } from "../ui/page-identity.ts";

type Dialog =
  | { readonly kind: "new" }
  | { readonly kind: "rotate" | "revoke"; readonly token: ExecutorTokenView }
  | { readonly kind: "created"; readonly created: NewToken };

export function ExecutorTokensPage() {
  return (
    <AdministratorsOnly>
      <ExecutorTokens />
    </AdministratorsOnly>
  );
}

function ExecutorTokens() {
  usePageIdentity("Executor tokens");
  const [dialog, setDialog] = useState<Dialog>();
  const { data, error, refetch } = useQuery({
    queryKey: queryKeys.executorTokens,
    queryFn: ({ signal }) => listExecutorTokens({ signal }),
    // No event reports the use of a token, so poll.
    refetchInterval: 30_000,
  });
  const close = () => setDialog(undefined);
  const created = (token: NewToken) => setDialog({ kind: "created", created: token });
  const add = (
    <Button leftSection={<IconPlus size={16} />} onClick={() => setDialog({ kind: "new" })}>
      New token
    </Button>
  );
  return (
    <>
      <PageHeader
        title="Executor tokens"
        help="executor-tokens"
        description="Each lets executors work for one queue, instead of the secret that all executors share"
      >
        {add}
      </PageHeader>
      {dialog?.kind === "new" && <NewTokenDialog onClose={close} onCreated={created} />}
      {dialog?.kind === "rotate" && <RotateDialog token={dialog.token} onClose={close} onRotated={created} />}
      {dialog?.kind === "revoke" && <RevokeDialog token={dialog.token} onClose={close} />}
      {dialog?.kind === "created" && <CreatedToken created={dialog.created} onClose={close} />}
      {error && data === undefined && (
        <ErrorPanel title="The executor tokens could not be loaded" error={error} onRetry={refetch} />
      )}
      {!error && data === undefined && <Loader type="dots" aria-label="Loading" />}
      {data?.length === 0 && (
        <EmptyState icon={IconShieldLock} title="No executor tokens yet">
          <Text c="dimmed">
            Create one for each pool of executors. If one leaks, it opens a single queue, and revoking it stops only
            that pool. When every executor has one, switch the shared secret off with{" "}
            <code>AIRLOCK_SHARED_SECRET=false</code>.
          </Text>
        </EmptyState>
      )}
      <Stack gap="lg">
        {byQueue(data ?? []).map(([queue, tokens]) => (
          <Stack key={queue} gap="sm" component="section" aria-label={`Queue ${queue}`}>
            <Title order={2} size="h4" style={{ overflowWrap: "anywhere" }}>
              Queue {queue}
            </Title>
            {tokens.map((token) => (
              <ExecutorTokenCard
                key={token.id}
                token={token}
                onRotate={() => setDialog({ kind: "rotate", token })}
                onRevoke={() => setDialog({ kind: "revoke", token })}
              />
            ))}
          </Stack>
        ))}
      </Stack>
    </>
  );
}

/** The instance lists tokens by queue. */
function byQueue(tokens: readonly ExecutorTokenView[]): readonly (readonly [string, readonly ExecutorTokenView[]])[] {
  return [...Map.groupBy(tokens, (token) => token.queue)];
}
