import type { QueueView } from "@airlock/api";
import { ActionIcon, Anchor, Button, Group, Loader, Table, Text } from "@mantine/core";
import { IconPlus, IconSettings, IconStack2, IconTrash } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { Link } from "react-router";
import { deleteQueue, listQueues } from "../api-client/endpoints.ts";
import { queryKeys } from "../api-client/query-client.ts";
import { serverNow } from "../api-client/server-clock.ts";
import { useAdministrator } from "../api-client/use-administrator.ts";
import classes from "../features/jobs/job-list.module.css";
import { useListEvents } from "../features/jobs/use-list-events.ts";
import { QueueDialog } from "../features/queues/queue-dialog.tsx";
import { ConfirmDialog } from "../ui/confirm-dialog.tsx";
import { EmptyState } from "../ui/empty-state.tsx";
import { ErrorPanel } from "../ui/error-panel.tsx";
import { PageHeader } from "../ui/page-header.tsx";
import { usePageIdentity } from "../ui/page-identity.ts";
import { TickingDuration } from "../ui/ticking-duration.tsx";
import { durationLimit } from "../ui/time-words.ts";

export function QueuesPage() {
  usePageIdentity("Queues");
  useListEvents();
  const administrator = useAdministrator();
  const [deleted, setDeleted] = useState<string>();
  const [edited, setEdited] = useState<QueueView | "new">();
  const { data, error, refetch } = useQuery({
    queryKey: queryKeys.queues,
    queryFn: async ({ signal }) => {
      const queues = await listQueues({ signal });
      const now = serverNow();
      return queues.map((queue) => ({
        ...queue,
        oldestQueuedAt: queue.oldestQueuedMs === null ? null : new Date(now - queue.oldestQueuedMs).toISOString(),
      }));
    },
  });
  return (
    <>
      <PageHeader
        title="Queues"
        help="queues"
        description="Jobs wait in a queue until an executor that serves it has a free slot"
      >
        {administrator && (
          <Button leftSection={<IconPlus size={16} />} onClick={() => setEdited("new")}>
            New queue
          </Button>
        )}
      </PageHeader>
      {edited && <QueueDialog {...(edited === "new" ? {} : { queue: edited })} onClose={() => setEdited(undefined)} />}
      {deleted !== undefined && (
        <ConfirmDialog
          title={`Delete the queue ${deleted}?`}
          confirmLabel="Delete"
          cancelLabel="Keep it"
          action={() => deleteQueue(deleted)}
          done={`The queue ${deleted} was deleted`}
          onClose={() => setDeleted(undefined)}
          onDone={() => {
            setDeleted(undefined);
            void refetch();
          }}
        >
          <Text size="sm">Only a queue that nothing uses can be deleted: no job, secret or executor token.</Text>
        </ConfirmDialog>
      )}
      {error && data === undefined && (
        <ErrorPanel title="The queues could not be loaded" error={error} onRetry={refetch} />
      )}
      {!error && data === undefined && <Loader type="dots" aria-label="Loading" />}
      {data?.length === 0 && (
        <EmptyState icon={IconStack2} title="No queues">
          Add one with “New queue”.
        </EmptyState>
      )}
      {data && data.length > 0 && (
        <Table.ScrollContainer minWidth={300} className={classes.frame ?? ""}>
          <Table verticalSpacing="sm" horizontalSpacing="sm">
            <Table.Thead>
              <Table.Tr>
                <Table.Th>Queue</Table.Th>
                <Table.Th>Queued</Table.Th>
                <Table.Th>Running</Table.Th>
                <Table.Th visibleFrom="xs">Oldest waits</Table.Th>
                <Table.Th visibleFrom="sm">Limit</Table.Th>
                <Table.Th visibleFrom="sm">Attempts</Table.Th>
                <Table.Th visibleFrom="sm">Lease</Table.Th>
                <Table.Th visibleFrom="md">Longest wait</Table.Th>
                <Table.Th>
                  <span className="visually-hidden">Settings</span>
                </Table.Th>
              </Table.Tr>
            </Table.Thead>
            <Table.Tbody>
              {data.map((queue) => (
                <Table.Tr key={queue.name}>
                  <Table.Td>
                    <Anchor component={Link} to={`/jobs?queue=${encodeURIComponent(queue.name)}`} fw={600} size="sm">
                      {queue.name}
                    </Anchor>
                    {queue.allowUnenforced && (
                      <Text size="xs" c="dimmed">
                        executors may ignore limits and egress
                      </Text>
                    )}
                  </Table.Td>
                  <Table.Td>
                    <Count count={queue.queued} queue={queue.name} state="queued" />
                  </Table.Td>
                  <Table.Td>
                    <Count count={queue.processing} queue={queue.name} state="processing" />
                  </Table.Td>
                  <Table.Td visibleFrom="xs">
                    {queue.oldestQueuedAt === null ? (
                      <Text size="sm" c="dimmed">
                        none waits
                      </Text>
                    ) : (
                      <Text size="sm">
                        <TickingDuration from={queue.oldestQueuedAt} to={null} />
                      </Text>
                    )}
                  </Table.Td>
                  <Table.Td visibleFrom="sm">
                    {queue.concurrencyLimit === null ? (
                      <Text size="sm" c="dimmed">
                        none
                      </Text>
                    ) : (
                      <Text size="sm">{queue.concurrencyLimit} at once</Text>
                    )}
                  </Table.Td>
                  <Table.Td visibleFrom="sm">
                    <Text size="sm">up to {queue.maxAttempts}</Text>
                  </Table.Td>
                  <Table.Td visibleFrom="sm">
                    <Text size="sm">{durationLimit(queue.leaseMs)}</Text>
                  </Table.Td>
                  <Table.Td visibleFrom="md">
                    {queue.maxWaitMs === null ? (
                      <Text size="sm" c="dimmed">
                        none
                      </Text>
                    ) : (
                      <Text size="sm">{durationLimit(queue.maxWaitMs)}</Text>
                    )}
                  </Table.Td>
                  <Table.Td>
                    {administrator && (
                      <Group gap={2} wrap="nowrap">
                        <ActionIcon
                          variant="subtle"
                          color="gray"
                          aria-label={`Settings of ${queue.name}`}
                          onClick={() => setEdited(queue)}
                        >
                          <IconSettings size={18} />
                        </ActionIcon>
                        <ActionIcon
                          variant="subtle"
                          color="red"
                          aria-label={`Delete ${queue.name}`}
                          onClick={() => setDeleted(queue.name)}
                        >
                          <IconTrash size={18} />
                        </ActionIcon>
                      </Group>
                    )}
                  </Table.Td>
                </Table.Tr>
              ))}
            </Table.Tbody>
          </Table>
        </Table.ScrollContainer>
      )}
      {data && data.length > 0 && (
        <Text size="xs" c="dimmed" mt="sm">
          Attempts: how often a job is tried when something other than the job fails. Lease: time without a heartbeat
          after which a job goes to another executor. Longest wait: a job that no executor takes in this time fails.
        </Text>
      )}
    </>
  );
}

function Count({ count, queue, state }: { readonly count: number; readonly queue: string; readonly state: string }) {
  if (count === 0) {
    return (
      <Text size="sm" c="dimmed">
        0
      </Text>
    );
  }
  return (
    <Anchor component={Link} size="sm" to={`/jobs?${new URLSearchParams({ state, queue })}`}>
      {count}
    </Anchor>
  );
}
