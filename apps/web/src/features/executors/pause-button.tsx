import type { ExecutorView } from "@airlock/api";
import { Button } from "@mantine/core";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { pauseExecutor } from "../../api-client/endpoints.ts";
import { queryKeys } from "../../api-client/query-client.ts";
import { ErrorPanel } from "../../ui/error-panel.tsx";

/** Keeps an executor from new jobs until it is resumed. Needs no confirmation, since resuming undoes it. */
export function PauseButton({ executor }: { readonly executor: ExecutorView }) {
  const queryClient = useQueryClient();
  const pause = useMutation({
    mutationFn: () => pauseExecutor(executor.name),
    onSuccess: () => queryClient.invalidateQueries({ queryKey: queryKeys.executors }),
  });
  return (
    <>
      <Button
        size="xs"
        variant="default"
        loading={pause.isPending}
        onClick={() => pause.mutate()}
        aria-label={`Pause ${executor.name}`}
      >
        Pause
      </Button>
      {pause.error && <ErrorPanel title="The executor could not be paused" error={pause.error} />}
    </>
  );
}
