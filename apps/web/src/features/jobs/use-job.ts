import { JobLiveEvent, type JobView, type LogEntryView } from "@airlock/api";
import { isFinished } from "@airlock/job";
import { type QueryClient, useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useRef, useState } from "react";
import { setLiveState } from "../../api-client/connection-store.ts";
import { getJob, jobEventsPath } from "../../api-client/endpoints.ts";
import { followEvents } from "../../api-client/event-stream.ts";
import { queryKeys } from "../../api-client/query-client.ts";
import { noteApiError } from "../../api-client/session-lapse.ts";
import { usePageWatched } from "../../api-client/use-page-watched.ts";
import { decodeBase64 } from "../logs/base64.ts";
import { JobLog } from "../logs/job-log.ts";

const unwatchedPollMs = 15_000;

/**
 * A job and its output, updated live while the tab is visible. Use a different `key` for each job, so that state is
 * reset.
 */
export function useJob(id: number) {
  const client = useQueryClient();
  const watched = usePageWatched();
  const [log] = useState(() => new JobLog());
  const [complete, setComplete] = useState(false);
  const [streamError, setStreamError] = useState<unknown>();
  const lastEventId = useRef<string | undefined>(undefined);

  const query = useQuery({
    queryKey: queryKeys.job(id),
    queryFn: ({ signal }) => getJob(id, { signal }),
    // A background tab still shows in its title and icon how the job ends.
    refetchInterval: ({ state }) => (!watched && state.data && !isFinished(state.data.state) ? unwatchedPollMs : false),
    refetchIntervalInBackground: true,
  });

  // The stream of a finished job ends. After a retry it must be opened again.
  const reopened = complete && query.data !== undefined && !isFinished(query.data.state);
  useEffect(() => {
    if (reopened) setComplete(false);
  }, [reopened]);

  const following = watched && !complete;
  useEffect(() => {
    if (!following) return;
    // The session may have ended and begun again.
    setStreamError(undefined);
    const controller = new AbortController();
    followEvents({
      path: jobEventsPath(id),
      schema: JobLiveEvent,
      signal: controller.signal,
      ...(lastEventId.current === undefined ? {} : { lastEventId: lastEventId.current }),
      onConnection: setLiveState,
      onEvent: (event) => {
        switch (event.kind) {
          case "job":
            client.setQueryData<JobView>(queryKeys.job(id), event.job);
            return "continue";
          case "entry":
            placeEntry(client, id, event.entry);
            return "continue";
          case "chunk": {
            const { attempt, entryId, offset, stream, data, receivedAt } = event;
            const chunk = { offset, stream, bytes: decodeBase64(data) };
            const time = receivedAt === undefined ? undefined : Date.parse(receivedAt);
            const result = log.append(attempt, entryId, chunk, time);
            return result.kind === "gap" ? "restart" : "continue";
          }
          case "note":
            log.note(event.attempt, event.entryId, event.noteId, event.text);
            return "continue";
          case "end":
            return "finished";
        }
      },
    })
      .then((last) => {
        lastEventId.current = last;
        if (!controller.signal.aborted) setComplete(true);
      })
      .catch((error: unknown) => {
        noteApiError(error);
        setStreamError(error);
      });
    return () => {
      controller.abort();
      setLiveState("idle");
    };
  }, [client, following, id, log]);

  return { job: query.data, error: query.error ?? streamError, log, complete };
}

function placeEntry(client: QueryClient, id: number, entry: LogEntryView): void {
  client.setQueryData<JobView>(queryKeys.job(id), (job) => {
    if (job === undefined) return job;
    const others = job.entries.filter((other) => other.attempt !== entry.attempt || other.entryId !== entry.entryId);
    return { ...job, entries: [...others, entry] };
  });
}
