import type { JobView } from "@airlock/api";
import { Loader, Stack } from "@mantine/core";
import { useCallback, useEffect, useMemo, useRef } from "react";
import { useLocation, useNavigate, useParams, useSearchParams } from "react-router";
import { jobLogsPath } from "../api-client/endpoints.ts";
import { ApiRequestError } from "../api-client/http.ts";
import { ArtifactsPanel } from "../features/jobs/artifacts-panel.tsx";
import { FailureCallout } from "../features/jobs/failure-callout.tsx";
import { JobDefinition } from "../features/jobs/job-definition.tsx";
import { JobHeader } from "../features/jobs/job-header.tsx";
import classes from "../features/jobs/job-page.module.css";
import { wordsOf } from "../features/jobs/job-state-words.ts";
import { NoLog } from "../features/jobs/no-log.tsx";
import { entriesOf, entryLabel, entryOfInterest, entryScript } from "../features/jobs/timeline.ts";
import { TimelinePanel } from "../features/jobs/timeline-panel.tsx";
import { useJob } from "../features/jobs/use-job.ts";
import type { JobLog } from "../features/logs/job-log.ts";
import { LogViewer } from "../features/logs/log-viewer.tsx";
import { formatLineRange, type LineRange, parseLineRange } from "../features/logs/permalink.ts";
import { UsagePanel } from "../features/usage/usage-panel.tsx";
import { announce } from "../ui/announcer.tsx";
import { ErrorPanel } from "../ui/error-panel.tsx";
import { useShortcuts } from "../ui/keyboard/use-shortcuts.ts";
import { usePageIdentity } from "../ui/page-identity.ts";
import { NotFoundPage } from "./not-found-page.tsx";

export function JobPage() {
  const text = useParams().id ?? "";
  if (!/^[1-9]\d{0,15}$/.test(text)) return <NotFoundPage title={`“${text}” is not a job's number`} />;
  return <JobOf key={text} id={Number(text)} />;
}

function JobOf({ id }: { readonly id: number }) {
  const { job, error, log, complete } = useJob(id);
  const words = job && wordsOf(job);
  usePageIdentity(words ? `#${id} ${words.word.toLowerCase()}` : `#${id}`, job?.state);

  const lastWord = useRef<string>(undefined);
  useEffect(() => {
    if (words && lastWord.current !== undefined && lastWord.current !== words.word) {
      announce(`Job ${id}: ${words.word}`);
    }
    lastWord.current = words?.word;
  }, [id, words]);

  if (job === undefined) {
    if (error instanceof ApiRequestError && error.code === "not-found") {
      return <NotFoundPage title={`Job #${id} not found`}>It may belong to another instance.</NotFoundPage>;
    }
    if (error) return <ErrorPanel title={`Job #${id} could not be loaded`} error={error} />;
    return <Loader type="dots" aria-label="Loading" />;
  }
  return (
    <Stack gap="md">
      {error !== undefined && error !== null && <ErrorPanel title="Live updates stopped" error={error} />}
      <Job job={job} log={log} complete={complete} />
    </Stack>
  );
}

function Job({ job, log, complete }: { readonly job: JobView; readonly log: JobLog; readonly complete: boolean }) {
  const navigate = useNavigate();
  const location = useLocation();
  const [search, setSearch] = useSearchParams();

  const number = Number(search.get("attempt")) || job.attempt;
  const attempt = job.attempts.find((each) => each.attempt === number);
  const entries = entriesOf(job, number);
  const chosen = entries.find((entry) => String(entry.entryId) === search.get("entry"));
  const attemptIsOpen = attempt?.state === "processing";
  const entry = chosen ?? entryOfInterest(entries, attemptIsOpen);

  const entryHref = (entryId: number | undefined) => {
    const next = new URLSearchParams();
    if (number !== job.attempt) next.set("attempt", String(number));
    if (entryId !== undefined) next.set("entry", String(entryId));
    return `?${next}`;
  };
  const step = (by: 1 | -1) => {
    const next = entries[entries.findIndex((each) => each.entryId === entry?.entryId) + by];
    if (next) void navigate(entryHref(next.entryId), { replace: true, preventScrollReset: true });
  };
  useShortcuts({ "[": () => step(-1), "]": () => step(1) });

  const range = useMemo(() => parseLineRange(location.hash), [location.hash]);
  const entryId = entry?.entryId;
  const onRangeChange = useCallback(
    (next: LineRange) => {
      // The link includes the entry, so that it still points to the same line when another entry becomes the default.
      const pinned = new URLSearchParams({ attempt: String(number), entry: String(entryId) });
      void navigate({ search: `?${pinned}`, hash: formatLineRange(next) }, { replace: true, preventScrollReset: true });
    },
    [entryId, navigate, number],
  );

  return (
    <>
      <JobHeader
        job={job}
        attempt={attempt}
        onAttemptChange={(value) => setSearch(value === job.attempt ? {} : { attempt: String(value) })}
        onRetried={() => setSearch({}, { replace: true })}
      />
      {attempt && <FailureCallout job={job} attempt={attempt} entryHref={entryHref} shownEntry={entryId} />}
      <JobDefinition job={job} />
      <ArtifactsPanel job={job} attempt={number} />
      <div className={classes.columns}>
        <TimelinePanel job={job} attempt={number} shownEntry={entry?.entryId} entryHref={entryHref} />
        <div className={classes.log}>
          {entry && <UsagePanel job={job} entry={entry} live={attemptIsOpen} />}
          {entry ? (
            <LogViewer
              key={`${number}.${entry.entryId}`}
              log={log}
              buffer={log.buffer(number, entry.entryId)}
              command={entryScript(job, entry)}
              commandLabel={`Script of ${entryLabel(job, entry)}`}
              startMs={Date.parse(entry.startedAt)}
              live={attemptIsOpen && entry.exitCode === null}
              startAtEnd={entry.exitCode !== null && entry.exitCode !== 0}
              expectedBytes={entry.length}
              complete={complete}
              downloadHref={jobLogsPath(job.id, number, entry.entryId)}
              downloadName={`job-${job.id}-attempt-${number}-${entryLabel(job, entry).replaceAll(/[^A-Za-z0-9._-]+/g, "-")}.log`}
              range={range}
              onRangeChange={onRangeChange}
            />
          ) : (
            <NoLog job={job} attempt={attempt} />
          )}
        </div>
      </div>
    </>
  );
}
