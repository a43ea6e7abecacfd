import { describeIssues, JobSpec } from "@airlock/api";
import { Alert, Button, Group, Stack, Text } from "@mantine/core";
import { IconAlertCircle, IconPlus, IconSend } from "@tabler/icons-react";
import { useMutation, useQuery } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { useNavigate } from "react-router";
import { createJob, listQueues, listRepositories, listSecrets } from "../../api-client/endpoints.ts";
import { errorWords } from "../../api-client/error-words.ts";
import { ApiRequestError } from "../../api-client/http.ts";
import { queryKeys } from "../../api-client/query-client.ts";
import { issuesByField } from "../../forms/issues.ts";
import { announce } from "../../ui/announcer.tsx";
import { emptyStep, type FormValues, fieldPaths, type StepValues, toJobSpec } from "./form-model.ts";
import { LimitsSection } from "./limits-section.tsx";
import { MoreSection } from "./more-section.tsx";
import { NetworkSection } from "./network-section.tsx";
import { Preview } from "./preview.tsx";
import { SourceSection } from "./source-section.tsx";
import { StepFields } from "./step-fields.tsx";
import classes from "./submit-form.module.css";

export function SubmitForm({ initial }: { readonly initial: FormValues }) {
  const navigate = useNavigate();
  const [values, setValues] = useState(initial);
  const [tried, setTried] = useState(false);
  const repositories = useQuery({
    queryKey: queryKeys.repositories,
    queryFn: ({ signal }) => listRepositories({ signal }),
  });
  const queues = useQuery({ queryKey: queryKeys.queues, queryFn: ({ signal }) => listQueues({ signal }) });
  const secrets = useQuery({ queryKey: queryKeys.secrets, queryFn: ({ signal }) => listSecrets({ signal }) });
  const { mutate, isPending, error, reset } = useMutation({
    mutationFn: createJob,
    onSuccess: async (job) => {
      announce(`Job ${job.id} submitted`);
      await navigate(`/jobs/${job.id}`);
    },
  });

  const change = (part: Partial<FormValues>) => {
    setValues((before) => ({ ...before, ...part }));
    reset();
  };
  const spec = toJobSpec(values);
  const parsed = JobSpec.safeParse(spec);
  const ownIssues = tried && parsed.error ? describeIssues(parsed.error) : [];
  const issues = issuesByField(
    [...ownIssues, ...(error instanceof ApiRequestError ? error.issues : [])],
    fieldPaths(values),
  );
  const errorOf = (path: string) => issues.fields.get(path);
  const words = error && issues.fields.size === 0 && issues.others.length === 0 ? errorWords(error) : undefined;

  const submit = (event: FormEvent) => {
    event.preventDefault();
    setTried(true);
    if (parsed.success) mutate(spec);
    else announce("The job was not submitted: some fields need a correction");
  };
  const setStep = (index: number, step: StepValues) => change({ steps: values.steps.with(index, step) });
  const moveStep = (index: number, by: 1 | -1) => {
    const step = values.steps[index];
    if (step) change({ steps: values.steps.toSpliced(index, 1).toSpliced(index + by, 0, step) });
  };

  return (
    <div className={classes.columns}>
      <form onSubmit={submit} noValidate aria-label="New job">
        <Stack>
          <SourceSection
            values={values}
            errorOf={errorOf}
            change={change}
            repositoryNames={repositories.data?.map(({ name }) => name) ?? []}
            queueNames={queues.data?.map(({ name }) => name) ?? []}
          />

          {values.steps.map((step, index) => (
            <StepFields
              key={step.id}
              step={step}
              index={index}
              count={values.steps.length}
              errors={issues.fields}
              secretNames={[...new Set(secrets.data?.map(({ name }) => name))]}
              onChange={(changed) => setStep(index, changed)}
              onMove={(by) => moveStep(index, by)}
              onRemove={() => change({ steps: values.steps.toSpliced(index, 1) })}
            />
          ))}
          <Group>
            <Button
              variant="default"
              size="xs"
              leftSection={<IconPlus size={14} />}
              onClick={() =>
                change({ steps: [...values.steps, { ...emptyStep(), image: values.steps.at(-1)?.image ?? "" }] })
              }
            >
              Add a step
            </Button>
          </Group>
          <LimitsSection values={values} errorOf={errorOf} change={change} />
          <NetworkSection values={values} errorOf={errorOf} change={change} />
          <MoreSection values={values} errorOf={errorOf} change={change} />

          {(words || issues.others.length > 0) && (
            <Alert color="red" icon={<IconAlertCircle />} title="The job was not submitted" role="alert">
              {words && <Text size="sm">{words.message}</Text>}
              {words?.hint && (
                <Text size="sm" c="dimmed">
                  {words.hint}
                </Text>
              )}
              {issues.others.map((line) => (
                <Text key={line} size="sm">
                  {line}
                </Text>
              ))}
            </Alert>
          )}
          <Group>
            <Button type="submit" loading={isPending} leftSection={<IconSend size={16} />}>
              Submit job
            </Button>
            {issues.fields.size > 0 && (
              <Text size="sm" c="var(--mantine-color-error)" role="alert">
                {issues.fields.size === 1 ? "One field needs" : `${issues.fields.size} fields need`} a correction.{" "}
                {error instanceof ApiRequestError && error.hint}
              </Text>
            )}
          </Group>
        </Stack>
      </form>
      <Preview spec={spec} />
    </div>
  );
}
