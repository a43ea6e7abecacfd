import { type JobState, jobStates } from "@airlock/job";
import { Button, Group, Select } from "@mantine/core";
import { IconFilterX } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { listQueues, listRepositories } from "../../api-client/endpoints.ts";
import { queryKeys } from "../../api-client/query-client.ts";
import { isFiltered, type JobFilter } from "./job-filter.ts";
import { jobStateWords } from "./job-state-words.ts";

interface JobFiltersProps {
  readonly filter: JobFilter;
  /** All known namespaces, including `default`. If there is only one, no choice is shown. */
  readonly namespaces: readonly string[];
  readonly onChange: (filter: JobFilter) => void;
}

const everything: JobFilter = {
  states: [],
  queue: undefined,
  repository: undefined,
  namespace: undefined,
  before: undefined,
};

export function JobFilters({ filter, namespaces, onChange }: JobFiltersProps) {
  const queues = useQuery({ queryKey: queryKeys.queues, queryFn: ({ signal }) => listQueues({ signal }) });
  const repositories = useQuery({
    queryKey: queryKeys.repositories,
    queryFn: ({ signal }) => listRepositories({ signal }),
  });
  const change = (part: Partial<JobFilter>) => onChange({ ...filter, ...part, before: undefined });
  return (
    <Group gap="sm" mb="md" role="search" aria-label="Filter jobs">
      <Group gap={6}>
        {jobStates.map((state) => (
          <StateToggle
            key={state}
            state={state}
            pressed={filter.states.includes(state)}
            onToggle={(pressed) =>
              change({ states: jobStates.filter((each) => (each === state ? pressed : filter.states.includes(each))) })
            }
          />
        ))}
      </Group>
      <Group gap="sm" style={{ flex: "1 1 400px" }}>
        <Select
          aria-label="Queue"
          placeholder="Any queue"
          data={withChosen(
            queues.data?.map((queue) => queue.name),
            filter.queue,
          )}
          value={filter.queue ?? null}
          onChange={(queue) => change({ queue: queue ?? undefined })}
          clearable
          searchable
          size="xs"
          style={{ flex: "1 1 130px", maxWidth: 190 }}
        />
        <Select
          aria-label="Repository"
          placeholder="Any repository"
          data={withChosen(
            repositories.data?.map((repository) => repository.name),
            filter.repository,
          )}
          value={filter.repository ?? null}
          onChange={(repository) => change({ repository: repository ?? undefined })}
          clearable
          searchable
          size="xs"
          style={{ flex: "1 1 150px", maxWidth: 260 }}
        />
        {(filter.namespace !== undefined || namespaces.some((name) => name !== "default")) && (
          <Select
            aria-label="Namespace"
            placeholder="Any namespace"
            data={withChosen(namespaces, filter.namespace).sort()}
            value={filter.namespace ?? null}
            onChange={(namespace) => change({ namespace: namespace ?? undefined })}
            clearable
            searchable
            size="xs"
            style={{ flex: "1 1 130px", maxWidth: 190 }}
          />
        )}
      </Group>
      {isFiltered(filter) && (
        <Button variant="subtle" size="xs" leftSection={<IconFilterX size={14} />} onClick={() => onChange(everything)}>
          Clear filters
        </Button>
      )}
    </Group>
  );
}

interface StateToggleProps {
  readonly state: JobState;
  readonly pressed: boolean;
  readonly onToggle: (pressed: boolean) => void;
}

function StateToggle({ state, pressed, onToggle }: StateToggleProps) {
  const { word, icon: Picture, color } = jobStateWords[state];
  return (
    <Button
      size="xs"
      radius="xl"
      variant={pressed ? "light" : "default"}
      color={pressed ? color : "gray"}
      fw={pressed ? 700 : 500}
      bd={pressed ? "1px solid currentColor" : undefined}
      leftSection={
        <Picture size={15} stroke={2.1} color={pressed ? "currentColor" : `var(--mantine-color-${color}-text)`} />
      }
      aria-pressed={pressed}
      onClick={() => onToggle(!pressed)}
    >
      {word}
    </Button>
  );
}

/** A link may filter by a name that no longer exists. It is still shown as selected. */
function withChosen(names: readonly string[] | undefined, chosen: string | undefined): string[] {
  return [...new Set([...(names ?? []), ...(chosen === undefined ? [] : [chosen])])];
}
