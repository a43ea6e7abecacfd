import type { ExecutorTokenView } from "@airlock/api";
import { Anchor, Button, Group, List, Modal, Stack, Text } from "@mantine/core";
import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { Link } from "react-router";
import { revokeExecutorToken } from "../../api-client/executor-token-endpoints.ts";
import { queryKeys } from "../../api-client/query-client.ts";
import { ConfirmDialog } from "../../ui/confirm-dialog.tsx";
import { executorCount } from "./executor-count.ts";

interface RevokeDialogProps {
  readonly token: ExecutorTokenView;
  readonly onClose: () => void;
}

export function RevokeDialog({ token, onClose }: RevokeDialogProps) {
  const client = useQueryClient();
  const [running, setRunning] = useState<readonly number[]>([]);
  if (running.length > 0) return <StillRunning jobs={running} onClose={onClose} />;
  return (
    <ConfirmDialog
      title={`Revoke “${token.name}”?`}
      confirmLabel="Revoke token"
      cancelLabel="Keep it"
      done={`Executor token ${token.name} revoked`}
      action={async () => {
        const { runningJobs } = await revokeExecutorToken(token.id);
        await client.invalidateQueries({ queryKey: queryKeys.executorTokens });
        return runningJobs;
      }}
      onDone={(jobs) => (jobs.length === 0 ? onClose() : setRunning(jobs))}
      onClose={onClose}
    >
      <Text size="sm">
        {executorCount(token)} can't get jobs from queue {token.queue} from this moment. Jobs that they run now end when
        their lease ends, and are retried. This can't be undone.
      </Text>
    </ConfirmDialog>
  );
}

function StillRunning({ jobs, onClose }: { readonly jobs: readonly number[]; readonly onClose: () => void }) {
  return (
    <Modal opened onClose={onClose} title="The token is revoked" centered>
      <Stack gap="md">
        <Text size="sm">
          Its executors still run {jobs.length === 1 ? "a job" : `${jobs.length} jobs`}, and can report on{" "}
          {jobs.length === 1 ? "it" : "them"} until the lease ends. If you don't trust these executors, cancel{" "}
          {jobs.length === 1 ? "the job" : "the jobs"}:
        </Text>
        <List size="sm">
          {jobs.map((id) => (
            <List.Item key={id}>
              <Anchor component={Link} to={`/jobs/${id}`} size="sm">
                Job {id}
              </Anchor>
            </List.Item>
          ))}
        </List>
        <Group justify="flex-end">
          <Button onClick={onClose}>Done</Button>
        </Group>
      </Stack>
    </Modal>
  );
}
