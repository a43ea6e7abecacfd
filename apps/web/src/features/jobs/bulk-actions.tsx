import type { JobSummary } from "@airlock/api";
import { isFinished } from "@airlock/job";
import { Alert, Button, Group, Text } from "@mantine/core";
import { IconAlertTriangle, IconPlayerStop, IconRefresh } from "@tabler/icons-react";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { cancelJob, retryJob } from "../../api-client/endpoints.ts";
import { errorWords } from "../../api-client/error-words.ts";
import { queryKeys } from "../../api-client/query-client.ts";
import { announce } from "../../ui/announcer.tsx";
import { ConfirmDialog } from "../../ui/confirm-dialog.tsx";

interface BulkActionsProps {
  /** The selected jobs. */
  readonly jobs: readonly JobSummary[];
  readonly onClear: () => void;
}

interface Outcome {
  readonly done: number;
  readonly failures: readonly { readonly id: number; readonly message: string }[];
}

/** Cancels or retries the selected jobs, one after the other. A job that can't be changed does not keep the others. */
export function BulkActions({ jobs, onClear }: BulkActionsProps) {
  const client = useQueryClient();
  const [asking, setAsking] = useState(false);
  const [outcome, setOutcome] = useState<Outcome>();
  const unfinished = jobs.filter(({ state }) => !isFinished(state));
  const finished = jobs.filter(({ state }) => isFinished(state));

  const apply = async (chosen: readonly JobSummary[], change: (id: number) => Promise<unknown>) => {
    const failures: { id: number; message: string }[] = [];
    for (const { id } of chosen) {
      try {
        await change(id);
      } catch (error) {
        failures.push({ id, message: errorWords(error).message });
      }
    }
    const result = { done: chosen.length - failures.length, failures };
    setOutcome(result);
    onClear();
    await client.invalidateQueries({ queryKey: queryKeys.allJobs });
    return result;
  };
  const retry = useMutation({
    mutationFn: () => apply(finished, retryJob),
    onSuccess: ({ done }) => announce(`${countWords(done)} queued again`),
  });
  return (
    <>
      {jobs.length > 0 && (
        <Group gap="xs" mb="sm" role="group" aria-label="Selected jobs">
          <Text size="sm" fw={600}>
            {countWords(jobs.length)} selected
          </Text>
          <Button
            size="xs"
            color="red"
            variant="light"
            leftSection={<IconPlayerStop size={15} aria-hidden />}
            disabled={unfinished.length === 0}
            onClick={() => setAsking(true)}
          >
            Cancel {unfinished.length}
          </Button>
          <Button
            size="xs"
            variant="default"
            leftSection={<IconRefresh size={15} aria-hidden />}
            disabled={finished.length === 0}
            loading={retry.isPending}
            onClick={() => retry.mutate()}
          >
            Retry {finished.length}
          </Button>
          <Button size="xs" variant="subtle" onClick={onClear}>
            Clear selection
          </Button>
        </Group>
      )}
      {asking && (
        <ConfirmDialog
          title={`Cancel ${countWords(unfinished.length)}?`}
          confirmLabel={`Cancel ${countWords(unfinished.length)}`}
          cancelLabel="Keep them"
          action={() => apply(unfinished, cancelJob)}
          done={`${countWords(unfinished.length)} being canceled`}
          onClose={() => setAsking(false)}
        >
          <Text size="sm">Running steps are stopped. You can retry the jobs later.</Text>
        </ConfirmDialog>
      )}
      {outcome && outcome.failures.length > 0 && (
        <Alert
          color="orange"
          icon={<IconAlertTriangle />}
          role="alert"
          mb="sm"
          title={`${countWords(outcome.done)} changed, ${outcome.failures.length} not`}
          withCloseButton
          closeButtonLabel="Close"
          onClose={() => setOutcome(undefined)}
        >
          {outcome.failures.map(({ id, message }) => (
            <Text key={id} size="sm">
              #{id}: {message}
            </Text>
          ))}
        </Alert>
      )}
    </>
  );
}

function countWords(count: number): string {
  return count === 1 ? "1 job" : `${count} jobs`;
}
