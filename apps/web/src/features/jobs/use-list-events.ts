import { type ExecutorView, type JobList, type JobSummary, ListLiveEvent } from "@airlock/api";
import { type QueryClient, useQueryClient } from "@tanstack/react-query";
import { useEffect } from "react";
import { setLiveState } from "../../api-client/connection-store.ts";
import { listEventsPath } from "../../api-client/endpoints.ts";
import { followEvents } from "../../api-client/event-stream.ts";
import { queryKeys } from "../../api-client/query-client.ts";
import { noteApiError } from "../../api-client/session-lapse.ts";
import { usePageWatched } from "../../api-client/use-page-watched.ts";
import { matchesFilter, parseJobFilter } from "./job-filter.ts";
import { placeJob } from "./place-job.ts";

/** Keeps the fetched lists up to date while the calling page is shown. */
export function useListEvents(onJob?: (job: JobSummary) => void): void {
  const client = useQueryClient();
  const watched = usePageWatched();
  useEffect(() => {
    if (!watched) return;
    const controller = new AbortController();
    const counts = throttle(() => void refetchCounts(client), 1000);
    const obstacles = throttle(() => void refetchObstructed(client), 1000);
    followEvents({
      path: listEventsPath,
      schema: ListLiveEvent,
      signal: controller.signal,
      onConnection: (connection) => {
        setLiveState(connection);
        // The stream starts without earlier events, so fetch the lists to get those.
        if (connection === "live") void refetchLists(client);
      },
      onEvent: (event) => {
        if (event.kind === "job") {
          updateJobLists(client, event.job);
          counts.call();
          onJob?.(event.job);
        } else {
          updateExecutors(client, event.executor);
          obstacles.call();
        }
        return "continue";
      },
    }).catch((error: unknown) => {
      noteApiError(error);
      setLiveState("reconnecting");
    });
    return () => {
      controller.abort();
      counts.cancel();
      obstacles.cancel();
      setLiveState("idle");
    };
  }, [client, watched, onJob]);
}

function updateJobLists(client: QueryClient, job: JobSummary): void {
  for (const query of client.getQueryCache().findAll({ queryKey: queryKeys.allJobs })) {
    const search = query.queryKey[1];
    if (typeof search !== "string") continue;
    const filter = parseJobFilter(new URLSearchParams(search));
    const list = client.getQueryData<JobList>(query.queryKey);
    // A summary does not have the labels that the job asks for, so only the instance knows whether a new job belongs here.
    if (filter.labels.length > 0 && list && !list.jobs.some(({ id }) => id === job.id)) {
      if (matchesFilter(job, filter)) void client.invalidateQueries({ queryKey: query.queryKey, exact: true });
      continue;
    }
    if (list) client.setQueryData<JobList>(query.queryKey, placeJob(list, job, filter));
  }
}

function updateExecutors(client: QueryClient, executor: ExecutorView): void {
  client.setQueryData<ExecutorView[]>(queryKeys.executors, (list) => {
    if (list === undefined) return list;
    const others = list.filter((other) => other.name !== executor.name);
    return [...others, executor].sort((a, b) => a.name.localeCompare(b.name));
  });
}

async function refetchLists(client: QueryClient): Promise<void> {
  await Promise.all([client.invalidateQueries({ queryKey: queryKeys.allJobs }), refetchCounts(client)]);
}

/** An executor that connects may be able to run jobs that had an obstacle. No event reports that for the job. */
async function refetchObstructed(client: QueryClient): Promise<void> {
  await client.invalidateQueries({
    queryKey: queryKeys.allJobs,
    predicate: ({ state }) => (state.data as JobList | undefined)?.jobs.some((job) => job.state === "queued") ?? false,
  });
}

/** Refetches data that changes with jobs but is not part of their events. */
async function refetchCounts(client: QueryClient): Promise<void> {
  await Promise.all([
    client.invalidateQueries({ queryKey: queryKeys.queues }),
    client.invalidateQueries({ queryKey: queryKeys.executors }),
  ]);
}

/** Runs `action` at most once per `ms`. The last call is never dropped. */
function throttle(action: () => void, ms: number) {
  let timer: ReturnType<typeof setTimeout> | undefined;
  return {
    call: () => {
      timer ??= setTimeout(() => {
        timer = undefined;
        action();
      }, ms);
    },
    cancel: () => clearTimeout(timer),
  };
}
