import { type JobState, jobStates } from "@airlock/job";
import { Button, Group, Select, TagsInput, TextInput } from "@mantine/core";
import { useDebouncedCallback } from "@mantine/hooks";
import { IconFilterX, IconSearch } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { listQueues, listRepositories } from "../../api-client/endpoints.ts";
import { queryKeys } from "../../api-client/query-client.ts";
import { serverNow } from "../../api-client/server-clock.ts";
import { absoluteTime } from "../../ui/time-words.ts";
import { isFiltered, isLabel, type JobFilter, maxLabels } from "./job-filter.ts";
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
  text: undefined,
  labels: [],
  since: undefined,
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
        <TextFilter text={filter.text ?? ""} onChange={(text) => change({ text: text || undefined })} />
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
      <Select
        aria-label="Submitted"
        placeholder="Any time"
        data={[
          ...periods.map(({ hours, label }) => ({ value: String(hours), label })),
          ...(filter.since === undefined
            ? []
            : [{ value: filter.since, label: `Since ${absoluteTime(Date.parse(filter.since))}` }]),
        ]}
        value={filter.since ?? null}
        onChange={(value) => change({ since: value === null ? undefined : sinceOf(value) })}
        clearable
        size="xs"
        style={{ flex: "0 1 190px" }}
      />
      <TagsInput
        aria-label="Labels"
        placeholder={filter.labels.length === 0 ? "Label: KEY=VALUE" : ""}
        value={[...filter.labels]}
        onChange={(labels) => change({ labels: labels.filter(isLabel) })}
        maxTags={maxLabels}
        clearable
        size="xs"
        style={{ flex: "0 1 220px" }}
      />
      {isFiltered(filter) && (
        <Button variant="subtle" size="xs" leftSection={<IconFilterX size={14} />} onClick={() => onChange(everything)}>
          Clear filters
        </Button>
      )}
    </Group>
  );
}

const periods = [
  { hours: 1, label: "Last hour" },
  { hours: 24, label: "Last day" },
  { hours: 7 * 24, label: "Last 7 days" },
  { hours: 30 * 24, label: "Last 30 days" },
] as const;

/** A period begins at a fixed time, so that a link to the list always shows the same jobs. */
function sinceOf(value: string): string {
  const hours = Number(value);
  return Number.isNaN(hours) ? value : new Date(serverNow() - hours * 3_600_000).toISOString();
}

/** Filters when the reader stops typing. */
function TextFilter({ text, onChange }: { readonly text: string; readonly onChange: (text: string) => void }) {
  const [typed, setTyped] = useState(text);
  const [applied, setApplied] = useState(text);
  const apply = useDebouncedCallback((next: string) => {
    setApplied(next);
    onChange(next);
  }, 350);
  // Another link, or "Clear filters", changed the filter.
  if (text !== applied) {
    setApplied(text);
    setTyped(text);
  }
  return (
    <TextInput
      role="searchbox"
      aria-label="Text"
      placeholder="Search"
      leftSection={<IconSearch size={14} aria-hidden />}
      value={typed}
      onChange={(event) => {
        setTyped(event.currentTarget.value);
        apply(event.currentTarget.value.trim());
      }}
      maxLength={200}
      size="xs"
      style={{ flex: "1 1 170px", maxWidth: 260 }}
    />
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
