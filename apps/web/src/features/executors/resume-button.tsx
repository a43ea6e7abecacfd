import type { ExecutorView } from "@airlock/api";
import { Button } from "@mantine/core";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { resumeExecutor } from "../../api-client/endpoints.ts";
import { queryKeys } from "../../api-client/query-client.ts";
import { ErrorPanel } from "../../ui/error-panel.tsx";

/** Lets a drained executor take jobs again. Needs no confirmation, since draining undoes it. */
export function ResumeButton({ executor }: { readonly executor: ExecutorView }) {
  const queryClient = useQueryClient();
  const resume = useMutation({
    mutationFn: () => resumeExecutor(executor.name),
    onSuccess: () => queryClient.invalidateQueries({ queryKey: queryKeys.executors }),
  });
  return (
    <>
      <Button
        mt="sm"
        size="xs"
        variant="default"
        loading={resume.isPending}
        onClick={() => resume.mutate()}
        aria-label={`Resume ${executor.name}`}
      >
        Resume
      </Button>
      {resume.error && <ErrorPanel title="The executor could not be resumed" error={resume.error} />}
    </>
  );
}
