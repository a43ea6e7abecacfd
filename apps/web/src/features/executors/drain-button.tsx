import type { ExecutorView } from "@airlock/api";
import { Button, Group, Modal, Text } from "@mantine/core";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { drainExecutor } from "../../api-client/endpoints.ts";
import { queryKeys } from "../../api-client/query-client.ts";
import { ErrorPanel } from "../../ui/error-panel.tsx";

/** Asks for confirmation, because jobs may then wait until a person resumes the executor. */
export function DrainButton({ executor }: { readonly executor: ExecutorView }) {
  const [asking, setAsking] = useState(false);
  const queryClient = useQueryClient();
  const drain = useMutation({
    mutationFn: () => drainExecutor(executor.name),
    onSuccess: () => {
      setAsking(false);
      return queryClient.invalidateQueries({ queryKey: queryKeys.executors });
    },
  });
  const running = executor.runningJobs.length;
  return (
    <>
      <Button size="xs" variant="default" onClick={() => setAsking(true)} aria-label={`Drain ${executor.name}`}>
        Drain
      </Button>
      <Modal opened={asking} onClose={() => setAsking(false)} title={`Drain ${executor.name}?`}>
        <Text size="sm">
          It takes no further jobs and finishes the running ones
          {running > 0 && ` (${running} now)`}. Afterwards it stays connected, and you can resume it here.
        </Text>
        {drain.error && <ErrorPanel title="The executor could not be drained" error={drain.error} />}
        <Group justify="flex-end" mt="md">
          <Button variant="default" onClick={() => setAsking(false)}>
            Keep it
          </Button>
          <Button loading={drain.isPending} onClick={() => drain.mutate()}>
            Drain
          </Button>
        </Group>
      </Modal>
    </>
  );
}
