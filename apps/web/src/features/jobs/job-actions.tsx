import type { JobView } from "@airlock/api";
import { isFinished } from "@airlock/job";
import { Alert, Button, Group, Modal, Text } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { IconCopyPlus, IconPlayerStop, IconRefresh } from "@tabler/icons-react";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { Link } from "react-router";
import { cancelJob, retryJob } from "../../api-client/endpoints.ts";
import { errorWords } from "../../api-client/error-words.ts";
import { queryKeys } from "../../api-client/query-client.ts";
import { announce } from "../../ui/announcer.tsx";

interface JobActionsProps {
  readonly job: JobView;
  /** Called when a new attempt was requested, so that the page can show it. */
  readonly onRetried: () => void;
}

export function JobActions({ job, onRetried }: JobActionsProps) {
  const client = useQueryClient();
  const [asking, confirm] = useDisclosure(false);
  const keep = (changed: JobView) => client.setQueryData(queryKeys.job(job.id), changed);
  const cancel = useMutation({
    mutationFn: () => cancelJob(job.id),
    onSuccess: (changed) => {
      keep(changed);
      confirm.close();
      announce(`Job ${job.id} is being canceled`);
    },
  });
  const retry = useMutation({
    mutationFn: () => retryJob(job.id),
    onSuccess: (changed) => {
      keep(changed);
      announce(`Job ${job.id} is queued again`);
      onRetried();
    },
  });
  return (
    <Group gap="xs">
      <Button
        component={Link}
        to={`/submit?from=${job.id}`}
        variant="default"
        size="xs"
        leftSection={<IconCopyPlus size={16} />}
      >
        Use as template
      </Button>
      {isFinished(job.state) ? (
        <Button
          size="xs"
          variant={job.state === "completed" ? "default" : "filled"}
          leftSection={<IconRefresh size={16} />}
          loading={retry.isPending}
          onClick={() => retry.mutate()}
        >
          Retry
        </Button>
      ) : (
        <Button
          size="xs"
          color="red"
          variant="light"
          leftSection={<IconPlayerStop size={16} />}
          onClick={confirm.open}
          disabled={job.cancelRequested}
        >
          {job.cancelRequested ? "Canceling…" : "Cancel job"}
        </Button>
      )}
      {retry.error && (
        <Alert color="red" role="alert" w="100%" withCloseButton onClose={retry.reset}>
          {errorWords(retry.error).message}
        </Alert>
      )}
      <Modal opened={asking} onClose={confirm.close} title={`Cancel job #${job.id}?`} centered>
        <Text size="sm">
          {job.state === "queued"
            ? "The job has not started and will not run."
            : "The running step is stopped at once, and the workspace is deleted. The log is kept."}
        </Text>
        {cancel.error && (
          <Alert color="red" role="alert" mt="sm">
            {errorWords(cancel.error).message}
          </Alert>
        )}
        <Group justify="flex-end" mt="md">
          <Button variant="default" onClick={confirm.close} data-autofocus>
            Keep it
          </Button>
          <Button color="red.9" loading={cancel.isPending} onClick={() => cancel.mutate()}>
            Cancel job
          </Button>
        </Group>
      </Modal>
    </Group>
  );
}
