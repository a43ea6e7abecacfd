import type { ExecutorView } from "@airlock/api";
import { Loader, SimpleGrid, Text } from "@mantine/core";
import { IconServer2 } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { listExecutors } from "../api-client/endpoints.ts";
import { queryKeys } from "../api-client/query-client.ts";
import { ExecutorCard } from "../features/executors/executor-card.tsx";
import { useListEvents } from "../features/jobs/use-list-events.ts";
import { AdministratorsOnly } from "../ui/administrators-only.tsx";
import { CommandBlock } from "../ui/command-block.tsx";
import { EmptyState } from "../ui/empty-state.tsx";
import { ErrorPanel } from "../ui/error-panel.tsx";
import { PageHeader } from "../ui/page-header.tsx";
import { usePageIdentity } from "../ui/page-identity.ts";

export function ExecutorsPage() {
  return (
    <AdministratorsOnly>
      <Executors />
    </AdministratorsOnly>
  );
}

function Executors() {
  usePageIdentity("Executors");
  useListEvents();
  const { data, error, refetch } = useQuery({
    queryKey: queryKeys.executors,
    queryFn: ({ signal }) => listExecutors({ signal }),
    // No event reports that an executor became silent, so poll.
    refetchInterval: 10_000,
  });
  const active = data?.filter((executor) => executor.active) ?? [];
  return (
    <>
      <PageHeader
        title="Executors"
        help="executors"
        description={
          data && data.length > 0
            ? `${active.length} of ${data.length} active · ${busyWords(active)}`
            : "Machines that take jobs from the queues and run them"
        }
      />
      {error && data === undefined && (
        <ErrorPanel title="The executors could not be loaded" error={error} onRetry={refetch} />
      )}
      {!error && data === undefined && <Loader type="dots" aria-label="Loading" />}
      {data?.length === 0 && <NoExecutors />}
      <SimpleGrid cols={{ base: 1, md: 2, xl: 3 }} spacing="md">
        {[...(data ?? [])]
          .sort((a, b) => Number(b.active) - Number(a.active) || a.name.localeCompare(b.name))
          .map((executor) => (
            <ExecutorCard key={executor.name} executor={executor} />
          ))}
      </SimpleGrid>
    </>
  );
}

function NoExecutors() {
  return (
    <EmptyState icon={IconServer2} title="No executor has reported yet">
      <Text c="dimmed">
        Jobs wait in their queues until an executor takes them. Start one on any machine that reaches this instance:
      </Text>
      <CommandBlock
        label="Command"
        text={[
          `EXECUTOR_FRONTEND_URL=${window.location.origin} \\`,
          "EXECUTOR_FRONTEND_PASSWORD=… \\",
          "EXECUTOR_QUEUE_NAMES=default \\",
          "executor run",
        ].join("\n")}
      />
      <Text c="dimmed" size="sm">
        The password is the instance's shared secret for executors. The executor appears here within seconds.
      </Text>
    </EmptyState>
  );
}

/** `3 of 4 slots in use`. Executors of the base protocol don't report their slots, so then the jobs are counted. */
function busyWords(active: readonly ExecutorView[]): string {
  const busy = active.reduce((sum, executor) => sum + executor.runningJobs.length, 0);
  const slots = active.reduce<number | null>(
    (sum, executor) => (sum === null || executor.slots === null ? null : sum + executor.slots),
    0,
  );
  if (slots === null) return `${busy} ${busy === 1 ? "job" : "jobs"} running`;
  return `${busy} of ${slots} slots in use`;
}
