import type { JobSummary } from "@airlock/api";
import { Button, Group, Loader, Text } from "@mantine/core";
import { useMediaQuery } from "@mantine/hooks";
import { IconArrowUp, IconChevronRight, IconFilterOff, IconPlus, IconRocket } from "@tabler/icons-react";
import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { useCallback } from "react";
import { Link, useSearchParams } from "react-router";
import { listJobs } from "../api-client/endpoints.ts";
import { queryKeys } from "../api-client/query-client.ts";
import { BulkActions } from "../features/jobs/bulk-actions.tsx";
import { JobCards } from "../features/jobs/job-cards.tsx";
import { formatJobFilter, isFiltered, type JobFilter, parseJobFilter } from "../features/jobs/job-filter.ts";
import { JobFilters } from "../features/jobs/job-filters.tsx";
import { wordsOf } from "../features/jobs/job-state-words.ts";
import { JobTable } from "../features/jobs/job-table.tsx";
import { useListEvents } from "../features/jobs/use-list-events.ts";
import { useSelection } from "../features/jobs/use-selection.ts";
import { announce } from "../ui/announcer.tsx";
import { CommandBlock } from "../ui/command-block.tsx";
import { EmptyState } from "../ui/empty-state.tsx";
import { ErrorPanel } from "../ui/error-panel.tsx";
import { useShortcuts } from "../ui/keyboard/use-shortcuts.ts";
import { PageHeader } from "../ui/page-header.tsx";
import { usePageIdentity } from "../ui/page-identity.ts";

export function JobsPage() {
  usePageIdentity("Jobs");
  const [search, setSearch] = useSearchParams();
  const filter = parseJobFilter(search);
  const narrow = useMediaQuery("(max-width: 62em)", undefined, { getInitialValueInEffect: false });
  const key = formatJobFilter(filter).toString();
  const { data, error, refetch, isPlaceholderData } = useQuery({
    queryKey: queryKeys.jobs(key),
    queryFn: ({ signal }) => listJobs(formatJobFilter(filter), { signal }),
    placeholderData: keepPreviousData,
  });
  useListEvents(useCallback((job: JobSummary) => announce(`Job ${job.id}: ${wordsOf(job).word}`), []));
  useShortcuts({ j: () => focusJob(1), k: () => focusJob(-1) });

  const selection = useSelection();
  const change = (next: JobFilter) => setSearch(formatJobFilter(next));
  const page = (before: number | undefined) => `?${formatJobFilter({ ...filter, before })}`;
  return (
    <>
      <PageHeader title="Jobs" help="jobs">
        <Button component={Link} to="/submit" leftSection={<IconPlus size={16} />} hiddenFrom="xs" size="xs">
          New job
        </Button>
      </PageHeader>
      {(data === undefined || data.jobs.length > 0 || isFiltered(filter) || filter.before !== undefined) && (
        <JobFilters
          filter={filter}
          namespaces={[...new Set(data?.jobs.map((job) => job.namespace))]}
          onChange={change}
        />
      )}
      {error && data === undefined && (
        <ErrorPanel title="The jobs could not be loaded" error={error} onRetry={refetch} />
      )}
      {!error && data === undefined && <Loader type="dots" aria-label="Loading" />}
      {data && <BulkActions jobs={data.jobs.filter(({ id }) => selection.has(id))} onClear={selection.clear} />}
      {data && data.jobs.length > 0 && (
        <div style={{ opacity: isPlaceholderData ? 0.6 : 1 }}>
          {narrow ? (
            <JobCards jobs={data.jobs} selection={selection} />
          ) : (
            <JobTable jobs={data.jobs} selection={selection} />
          )}
        </div>
      )}
      {data?.jobs.length === 0 && (isFiltered(filter) ? <NoMatch /> : <NoJobs older={filter.before !== undefined} />)}
      {data && (filter.before !== undefined || data.next !== null) && (
        <Group justify="space-between" mt="md" component="nav" aria-label="Pages">
          {filter.before === undefined ? (
            <Text size="sm" c="dimmed">
              The newest {data.jobs.length} jobs
            </Text>
          ) : (
            <Button
              component={Link}
              to={page(undefined)}
              variant="default"
              size="xs"
              leftSection={<IconArrowUp size={14} />}
            >
              Newest
            </Button>
          )}
          {data.next !== null && (
            <Button
              component={Link}
              to={page(data.next)}
              variant="default"
              size="xs"
              rightSection={<IconChevronRight size={14} />}
            >
              Older
            </Button>
          )}
        </Group>
      )}
    </>
  );
}

function NoMatch() {
  return (
    <EmptyState icon={IconFilterOff} title="No job matches these filters">
      Clear a filter to see more.
    </EmptyState>
  );
}

function NoJobs({ older }: { readonly older: boolean }) {
  if (older)
    return (
      <EmptyState icon={IconFilterOff} title="No older jobs">
        You have seen them all.
      </EmptyState>
    );
  return (
    <EmptyState icon={IconRocket} title="No jobs yet">
      <Text c="dimmed">Submit the first one from a terminal, or with the form:</Text>
      <CommandBlock
        label="Command"
        text={"airlock job submit --repo . --rev HEAD \\\n  --image alpine:3 --follow \\\n  -- sh -c 'echo hello; ls'"}
      />
      <Group justify="center">
        <Button component={Link} to="/submit" leftSection={<IconPlus size={16} />}>
          New job
        </Button>
      </Group>
    </EmptyState>
  );
}

/** Moves the focus along the list of jobs. */
function focusJob(step: 1 | -1): void {
  const links = [...document.querySelectorAll<HTMLElement>("[data-job-link]")];
  const current = links.indexOf(document.activeElement as HTMLElement);
  const next = links[current === -1 ? (step === 1 ? 0 : links.length - 1) : current + step];
  next?.focus();
  next?.scrollIntoView({ block: "nearest" });
}
