import type { SecretView } from "@airlock/api";
import { Button, Loader, Stack, Tabs, Text } from "@mantine/core";
import { IconHistory, IconKey, IconPlus } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { useSearchParams } from "react-router";
import { listSecrets } from "../api-client/endpoints.ts";
import { queryKeys } from "../api-client/query-client.ts";
import { DeleteSecretDialog } from "../features/secrets/delete-secret-dialog.tsx";
import { SecretCard } from "../features/secrets/secret-card.tsx";
import { SecretDialog } from "../features/secrets/secret-dialog.tsx";
import { SecretRecord } from "../features/secrets/secret-record.tsx";
import { EmptyState } from "../ui/empty-state.tsx";
import { ErrorPanel } from "../ui/error-panel.tsx";
import { PageHeader } from "../ui/page-header.tsx";
import { usePageIdentity } from "../ui/page-identity.ts";

type Dialog = { readonly kind: "new" } | { readonly kind: "replace" | "delete"; readonly secret: SecretView };

export function SecretsPage() {
  usePageIdentity("Secrets");
  const [search, setSearch] = useSearchParams();
  const [dialog, setDialog] = useState<Dialog>();
  const view = search.get("view") === "record" ? "record" : "list";
  const { data, error, refetch } = useQuery({
    queryKey: queryKeys.secrets,
    queryFn: ({ signal }) => listSecrets({ signal }),
  });
  const close = () => setDialog(undefined);
  return (
    <>
      <PageHeader
        title="Secrets"
        help="secrets"
        description="Encrypted, available only to the steps that name them, and masked in their logs"
      >
        <Button leftSection={<IconPlus size={16} />} onClick={() => setDialog({ kind: "new" })}>
          New secret
        </Button>
      </PageHeader>
      {dialog?.kind === "new" && <SecretDialog existing={data ?? []} onClose={close} />}
      {dialog?.kind === "replace" && <SecretDialog secret={dialog.secret} existing={[]} onClose={close} />}
      {dialog?.kind === "delete" && <DeleteSecretDialog secret={dialog.secret} onClose={close} />}
      <Tabs
        value={view}
        onChange={(next) => setSearch(next === "record" ? { view: "record" } : {})}
        keepMounted={false}
      >
        <Tabs.List mb="md">
          <Tabs.Tab value="list" leftSection={<IconKey size={16} />}>
            Secrets
          </Tabs.Tab>
          <Tabs.Tab value="record" leftSection={<IconHistory size={16} />}>
            Record
          </Tabs.Tab>
        </Tabs.List>
        <Tabs.Panel value="list">
          <Stack gap="md">
            {error && data === undefined && (
              <ErrorPanel title="The secrets could not be loaded" error={error} onRetry={refetch} />
            )}
            {!error && data === undefined && <Loader type="dots" aria-label="Loading" />}
            {data?.length === 0 && (
              <EmptyState icon={IconKey} title="No secrets yet">
                <Text c="dimmed">
                  A step names what it needs in its <code>secrets</code>, and finds it as an environment variable or as
                  a file.
                </Text>
              </EmptyState>
            )}
            {data?.map((secret) => (
              <SecretCard
                key={`${secret.name} ${secret.namespace} ${secret.queue}`}
                secret={secret}
                onReplace={() => setDialog({ kind: "replace", secret })}
                onDelete={() => setDialog({ kind: "delete", secret })}
              />
            ))}
          </Stack>
        </Tabs.Panel>
        <Tabs.Panel value="record">
          <SecretRecord name={search.get("name")} />
        </Tabs.Panel>
      </Tabs>
    </>
  );
}
