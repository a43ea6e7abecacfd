import type { AttemptView, JobView } from "@airlock/api";
import { isFinished } from "@airlock/job";
import { Alert, Anchor, Code, CopyButton, Group, Select, Text, Title, Tooltip, UnstyledButton } from "@mantine/core";
import { IconAlertTriangle, IconCircleX, IconHelpCircle, IconInfoCircle } from "@tabler/icons-react";
import type { ReactNode } from "react";
import { Link } from "react-router";
import { RelativeTime } from "../../ui/relative-time.tsx";
import { TickingDuration } from "../../ui/ticking-duration.tsx";
import { durationLimit } from "../../ui/time-words.ts";
import { failureWords } from "./failure-words.ts";
import { JobActions } from "./job-actions.tsx";
import classes from "./job-header.module.css";
import { shortCommit } from "./job-source.tsx";
import { jobStateWords } from "./job-state-words.ts";
import { StateBadge } from "./state-badge.tsx";

interface JobHeaderProps {
  readonly job: JobView;
  readonly attempt: AttemptView | undefined;
  readonly onAttemptChange: (attempt: number) => void;
  readonly onRetried: () => void;
}

export function JobHeader({ job, attempt, onAttemptChange, onRetried }: JobHeaderProps) {
  return (
    <header>
      <Group justify="space-between" align="flex-start" gap="sm">
        <Group gap="sm">
          <Title order={1} size="h2">
            Job #{job.id}
          </Title>
          <StateBadge job={job} size="lg" />
          {job.attempts.length > 1 && (
            <Select
              aria-label="Attempt"
              size="xs"
              w={210}
              allowDeselect={false}
              value={String(attempt?.attempt ?? job.attempt)}
              onChange={(value) => value !== null && onAttemptChange(Number(value))}
              data={job.attempts
                .toSorted((a, b) => b.attempt - a.attempt)
                .map((each) => ({ value: String(each.attempt), label: attemptWords(each) }))}
            />
          )}
        </Group>
        <JobActions job={job} onRetried={onRetried} />
      </Group>

      <dl className={classes.facts}>
        <Fact name="Repository">
          {job.repository === null ? (
            "none"
          ) : (
            <>
              <Anchor component={Link} size="sm" to={`/jobs?repository=${encodeURIComponent(job.repository)}`}>
                {job.repository}
              </Anchor>
              <Text span size="sm" c="dimmed">
                @{job.revision}
              </Text>
            </>
          )}
        </Fact>
        {job.commit && (
          <Fact name="Commit">
            <Commit commit={job.commit} />
          </Fact>
        )}
        <Fact name="Queue">
          <Anchor component={Link} size="sm" to={`/jobs?queue=${encodeURIComponent(job.queue)}`}>
            {job.queue}
          </Anchor>
        </Fact>
        <Fact name="Namespace">
          <Anchor component={Link} size="sm" to={`/jobs?namespace=${encodeURIComponent(job.namespace)}`}>
            {job.namespace}
          </Anchor>
        </Fact>
        <Fact name="Executor">{attempt?.executor ?? job.executor ?? "none yet"}</Fact>
        <Fact name="Submitted">
          <RelativeTime at={job.queuedAt} />
        </Fact>
        {attempt && (
          <Fact name={attempt.finishedAt === null ? "Running for" : "Ran for"}>
            <TickingDuration from={attempt.startedAt} to={attempt.finishedAt} />
          </Fact>
        )}
        <Fact name="Resources">{resourceWords(job)}</Fact>
        <Fact name="Network">{egressWords(job)}</Fact>
      </dl>

      {!isFinished(job.state) && job.obstacle !== null && job.obstacle === job.explanation.message ? (
        <Alert color="yellow" icon={<IconAlertTriangle />} mt="sm" p="sm" data-testid="explanation">
          {job.obstacle}{" "}
          <Anchor component={Link} size="sm" to="/executors" c="inherit" underline="always">
            See executors
          </Anchor>
        </Alert>
      ) : (
        !isFinished(job.state) && (
          <Text size="sm" className={classes.explanation} data-testid="explanation" component="p">
            <IconHelpCircle size={17} stroke={1.8} aria-hidden />
            <span>{job.explanation.message}</span>
          </Text>
        )
      )}
      {job.maxWaitMs !== null && (
        <Text size="sm" c="dimmed" mt="xs">
          The job fails if no executor takes it within {durationLimit(job.maxWaitMs)}, the longest wait of its queue.
        </Text>
      )}
      {isFinished(job.state) && job.failureReason === "queue-timeout" && (
        <Alert
          color="red"
          icon={<IconCircleX />}
          title={failureWords["queue-timeout"].title}
          role="alert"
          mt="sm"
          p="sm"
        >
          <Text size="sm" style={{ overflowWrap: "anywhere" }}>
            {job.failureMessage}
          </Text>
          <Text size="sm" c="dimmed" mt={4}>
            {failureWords["queue-timeout"].hint}
          </Text>
        </Alert>
      )}
      {job.warnings.map((warning) => (
        <Alert key={warning} color="yellow" icon={<IconInfoCircle />} mt="xs" p="xs">
          {warning}
        </Alert>
      ))}
    </header>
  );
}

function Fact({ name, children }: { readonly name: string; readonly children: ReactNode }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

function Commit({ commit }: { readonly commit: string }) {
  return (
    <CopyButton value={commit} timeout={1500}>
      {({ copied, copy }) => (
        <Tooltip label={copied ? "Copied" : `Copy ${commit}`} withArrow>
          <UnstyledButton onClick={copy} aria-label={`Copy the commit ${commit}`}>
            <Code>{shortCommit(commit)}</Code>
          </UnstyledButton>
        </Tooltip>
      )}
    </CopyButton>
  );
}

function attemptWords(attempt: AttemptView): string {
  return `Attempt ${attempt.attempt} · ${jobStateWords[attempt.state].word.toLowerCase()}`;
}

function resourceWords({ resources, timeoutMs }: JobView): string {
  const { cpus, memory, disk, pids, shm } = resources;
  const words = [
    cpus !== undefined && `${cpus} ${cpus === 1 ? "CPU" : "CPUs"}`,
    memory !== undefined && `${memory} memory`,
    disk !== undefined && `${disk} disk`,
    pids !== undefined && `${pids} pids`,
    shm !== undefined && `${shm} shared memory`,
    timeoutMs !== null && `at most ${durationLimit(timeoutMs)}`,
  ].filter(Boolean);
  return words.length === 0 ? "executor's defaults" : words.join(", ");
}

function egressWords({ egress }: JobView): string {
  if (egress === null) return "the executor's default";
  if (egress === "none") return "no network";
  if (egress === "public") return "public internet";
  return `only ${egress.allow.join(", ")}`;
}
