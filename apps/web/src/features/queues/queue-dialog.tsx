import type { QueueView } from "@airlock/api";
import { Button, Checkbox, Fieldset, Group, Modal, SimpleGrid, Stack, TextInput } from "@mantine/core";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useEffect, useRef, useState } from "react";
import { createQueue, updateQueue } from "../../api-client/endpoints.ts";
import { errorWords } from "../../api-client/error-words.ts";
import { ApiRequestError } from "../../api-client/http.ts";
import { queryKeys } from "../../api-client/query-client.ts";
import { issuesByField } from "../../forms/issues.ts";
import { announce } from "../../ui/announcer.tsx";
import { ErrorNote } from "../../ui/error-note.tsx";
import { parseQueue, type QueueField, queueFields, queueValues } from "./queue-form.ts";

interface QueueDialogProps {
  /** The queue to change. Without it, the dialog creates one. */
  readonly queue?: QueueView;
  readonly onClose: () => void;
}

const groups: readonly (readonly [title: string, fields: readonly (readonly [QueueField, string, string])[]])[] = [
  [
    "Concurrency and waiting time",
    [
      ["concurrencyLimit", "Running jobs", "at most; empty: no limit"],
      ["namespaceConcurrencyLimit", "Running jobs of one namespace", "at most; empty: no limit"],
      ["weight", "Weight", "share of the slots of executors that serve several queues"],
      ["maxWaitMs", "Longest wait", "for an executor, such as 30m; then the job fails; empty: no limit"],
    ],
  ],
  [
    "Retries after failures outside the job",
    [
      ["maxAttempts", "Attempts", "attempts in total; a failure of the job itself is never retried"],
      ["maxLosses", "Losses", "attempts whose executor disappears, in total"],
      ["backoffMs", "Back-off", "wait before the first retry, doubled each time"],
      ["backoffMaxMs", "Longest back-off", "such as 5m"],
    ],
  ],
  [
    "Leases and logs",
    [
      ["leaseMs", "Lease", "time without a heartbeat after which a job goes to another executor"],
      ["heartbeatIntervalMs", "Heartbeat", "at most a third of the lease"],
      ["maxLogBytes", "Log size", "most that is stored per attempt, such as 256Mi"],
    ],
  ],
];

/** A dialog with all settings of one queue. */
export function QueueDialog({ queue, onClose }: QueueDialogProps) {
  const client = useQueryClient();
  const [values, setValues] = useState(() => queueValues(queue));
  const [problems, setProblems] = useState<ReadonlyMap<string, string>>(new Map());
  const { mutate, isPending, error } = useMutation({
    mutationFn: async () => {
      const parsed = parseQueue(values);
      if (parsed.kind === "invalid") return setProblems(parsed.problems);
      setProblems(new Map());
      const { name, ...settings } = parsed.request;
      await (queue ? updateQueue(queue.name, settings) : createQueue(parsed.request));
      announce(queue ? `Settings of queue ${name} saved` : `Queue ${name} added`);
      await client.invalidateQueries({ queryKey: queryKeys.queues });
      onClose();
    },
  });
  const form = useRef<HTMLFormElement>(null);
  // The dialog is long: the button may be visible and the wrong field not.
  // biome-ignore lint/correctness/useExhaustiveDependencies: each refusal moves the focus, also to the same field.
  useEffect(() => {
    const wrong = form.current?.querySelector<HTMLElement>('[aria-invalid="true"]');
    wrong?.scrollIntoView({ block: "center" });
    wrong?.focus({ preventScroll: true });
  }, [problems, error]);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    mutate();
  };
  const refused = issuesByField(error instanceof ApiRequestError ? error.issues : [], queueFields);
  const words = error && refused.fields.size === 0 ? errorWords(error) : undefined;
  const field = (name: QueueField, label: string, description: string) => (
    <TextInput
      key={name}
      label={label}
      description={description}
      value={values[name]}
      onChange={(event) => setValues({ ...values, [name]: event.currentTarget.value })}
      error={problems.get(name) ?? refused.fields.get(name)}
    />
  );
  return (
    <Modal opened onClose={onClose} title={queue ? `Settings of queue ${queue.name}` : "New queue"} size="lg">
      <form ref={form} onSubmit={submit} noValidate>
        <Stack gap="md">
          {!queue && field("name", "Name", "lower-case letters, digits and '-'; jobs and executors use this name")}
          {groups.map(([title, fields]) => (
            <Fieldset key={title} legend={title} bg="var(--airlock-surface)">
              <SimpleGrid cols={{ base: 1, xs: 2 }}>{fields.map((one) => field(...one))}</SimpleGrid>
            </Fieldset>
          ))}
          <Fieldset legend="Executors other than Airlock's" bg="var(--airlock-surface)">
            <Checkbox
              label="May take jobs of which they ignore a part"
              description="They ignore a job's egress, timeout, resources, checkout, outputs and diff. Otherwise such a job waits for an executor that supports them."
              checked={values.allowUnenforced}
              onChange={(event) => setValues({ ...values, allowUnenforced: event.currentTarget.checked })}
            />
          </Fieldset>
          {words && <ErrorNote words={words} />}
          <Group justify="flex-end">
            <Button variant="default" onClick={onClose}>
              Close
            </Button>
            <Button type="submit" loading={isPending}>
              {queue ? "Save" : "Add queue"}
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}
