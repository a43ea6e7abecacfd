import { describeIssues, JobSpec } from "@airlock/api";
import {
  Alert,
  Autocomplete,
  Button,
  Checkbox,
  Group,
  Loader,
  Paper,
  SegmentedControl,
  Select,
  SimpleGrid,
  Stack,
  Text,
  Textarea,
  TextInput,
} from "@mantine/core";
import { IconAlertCircle, IconPlus, IconSend } from "@tabler/icons-react";
import { useMutation, useQuery } from "@tanstack/react-query";
import { type FormEvent, type ReactNode, useState } from "react";
import { useNavigate, useSearchParams } from "react-router";
import { createJob, getJob, listQueues, listRepositories, listSecrets } from "../api-client/endpoints.ts";
import { errorWords } from "../api-client/error-words.ts";
import { ApiRequestError } from "../api-client/http.ts";
import { queryKeys } from "../api-client/query-client.ts";
import { EnvFields } from "../features/submission/env-fields.tsx";
import {
  emptyForm,
  emptyStep,
  type FormValues,
  fieldPaths,
  formOf,
  type StepValues,
  toJobSpec,
} from "../features/submission/form-model.ts";
import { Preview } from "../features/submission/preview.tsx";
import { StepFields } from "../features/submission/step-fields.tsx";
import classes from "../features/submission/submit-page.module.css";
import { issuesByField } from "../forms/issues.ts";
import { announce } from "../ui/announcer.tsx";
import { PageHeader } from "../ui/page-header.tsx";
import { usePageIdentity } from "../ui/page-identity.ts";

export function SubmitPage() {
  usePageIdentity("New job");
  const [search] = useSearchParams();
  const from = Number(search.get("from")) || undefined;
  const template = useQuery({
    queryKey: queryKeys.job(from ?? 0),
    queryFn: ({ signal }) => getJob(from ?? 0, { signal }),
    enabled: from !== undefined,
  });
  return (
    <>
      <PageHeader
        title="New job"
        {...(template.data
          ? { description: `Filled in like job #${template.data.id}; values of variables are not copied` }
          : {})}
      />
      {template.isLoading ? (
        <Loader type="dots" aria-label="Loading" />
      ) : (
        <SubmitForm
          key={template.data?.id ?? 0}
          initial={template.data ? formOf(template.data) : emptyForm(search.get("repository") ?? "")}
        />
      )}
    </>
  );
}

function SubmitForm({ initial }: { readonly initial: FormValues }) {
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
          <FormSection title="Source">
            <SimpleGrid cols={{ base: 1, sm: 3 }}>
              <Select
                label="Repository"
                placeholder="none: empty workspace"
                data={[
                  ...new Set(
                    [...(repositories.data?.map(({ name }) => name) ?? []), values.repository].filter(Boolean),
                  ),
                ]}
                value={values.repository || null}
                onChange={(repository) => change({ repository: repository ?? "" })}
                searchable
                clearable
                nothingFoundMessage="No such repository: add it under Repositories"
                error={errorOf("repository")}
              />
              <TextInput
                label="Revision"
                placeholder="HEAD"
                description=""
                value={values.revision}
                onChange={(event) => change({ revision: event.currentTarget.value })}
                error={errorOf("revision")}
                spellCheck={false}
              />
              <Autocomplete
                label="Queue"
                placeholder="default"
                data={queues.data?.map(({ name }) => name) ?? []}
                value={values.queue}
                onChange={(queue) => change({ queue })}
                error={errorOf("queue")}
              />
            </SimpleGrid>
          </FormSection>

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

          <FormSection title="Limits">
            <SimpleGrid cols={{ base: 2, sm: 5 }}>
              <LimitInput
                label="CPUs"
                placeholder="2"
                path="resources.cpus"
                value={values.cpus}
                errorOf={errorOf}
                onChange={(cpus) => change({ cpus })}
              />
              <LimitInput
                label="Memory"
                placeholder="2Gi"
                path="resources.memory"
                value={values.memory}
                errorOf={errorOf}
                onChange={(memory) => change({ memory })}
              />
              <LimitInput
                label="Disk"
                placeholder="10Gi"
                path="resources.disk"
                value={values.disk}
                errorOf={errorOf}
                onChange={(disk) => change({ disk })}
              />
              <LimitInput
                label="Processes"
                placeholder="512"
                path="resources.pids"
                value={values.pids}
                errorOf={errorOf}
                onChange={(pids) => change({ pids })}
              />
              <LimitInput
                label="Timeout"
                placeholder="30m"
                path="timeout"
                value={values.timeout}
                errorOf={errorOf}
                onChange={(timeout) => change({ timeout })}
              />
            </SimpleGrid>
            <Text size="xs" c="dimmed" mt="xs">
              What is left empty is the executor's default.
            </Text>
          </FormSection>

          <FormSection title="Network">
            <SegmentedControl
              fullWidth
              maw={460}
              aria-label="Network"
              value={values.egress}
              onChange={(egress) => change({ egress: egress as FormValues["egress"] })}
              data={[
                { value: "default", label: "Default" },
                { value: "none", label: "None" },
                { value: "public", label: "Internet" },
                { value: "allow", label: "Allow-list" },
              ]}
            />
            {values.egress === "default" && (
              <Text size="xs" c="dimmed" mt="xs">
                The executor's default: the internet where it can keep jobs to that, else no network.
              </Text>
            )}
            {values.egress === "allow" && (
              <Textarea
                mt="sm"
                label="Destinations"
                description="One a line: NAME[:PORT], *.NAME[:PORT] or an address range"
                placeholder={"packages.example.com:443\n*.example.org"}
                autosize
                minRows={2}
                value={values.allow}
                onChange={(event) => change({ allow: event.currentTarget.value })}
                spellCheck={false}
                styles={{ input: { fontFamily: "var(--mantine-font-family-monospace)", fontSize: 13 } }}
              />
            )}
            {errorOf("egress") && (
              <Text size="xs" c="var(--mantine-color-error)" mt={4} role="alert">
                {errorOf("egress")}
              </Text>
            )}
          </FormSection>

          <FormSection title="More">
            <Stack gap="sm">
              <EnvFields
                title="Labels that the executor must have"
                button="Require a label of the executor"
                rows={values.labels}
                error={errorOf("labels")}
                onChange={(labels) => change({ labels })}
              />
              <SimpleGrid cols={{ base: 1, sm: 2 }}>
                <Textarea
                  label="Outputs"
                  description="Globs of files to keep, one a line"
                  autosize
                  minRows={1}
                  value={values.outputs}
                  onChange={(event) => change({ outputs: event.currentTarget.value })}
                  error={errorOf("outputs")}
                  spellCheck={false}
                />
                <Checkbox
                  label="Keep the workspace diff"
                  description="What the steps change in the repository"
                  mt={{ base: 0, sm: 28 }}
                  checked={values.diff}
                  onChange={(event) => change({ diff: event.currentTarget.checked })}
                />
                <TextInput
                  label="Namespace"
                  description="Whose job it is, and so which secrets it gets"
                  placeholder="default"
                  value={values.namespace}
                  onChange={(event) => change({ namespace: event.currentTarget.value })}
                  error={errorOf("namespace")}
                />
                <TextInput
                  label="Priority"
                  description="-1000 to 1000; higher goes first"
                  placeholder="0"
                  inputMode="numeric"
                  value={values.priority}
                  onChange={(event) => change({ priority: event.currentTarget.value })}
                  error={errorOf("priority")}
                />
              </SimpleGrid>
            </Stack>
          </FormSection>

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

function FormSection({ title, children }: { readonly title: string; readonly children: ReactNode }) {
  return (
    <Paper withBorder p="md" bg="var(--airlock-surface)" component="fieldset" m={0} miw={0} aria-label={title}>
      <Text fw={600} mb="xs">
        {title}
      </Text>
      {children}
    </Paper>
  );
}

interface LimitInputProps {
  readonly label: string;
  readonly placeholder: string;
  readonly path: string;
  readonly value: string;
  readonly errorOf: (path: string) => string | undefined;
  readonly onChange: (value: string) => void;
}

function LimitInput({ label, placeholder, path, value, errorOf, onChange }: LimitInputProps) {
  return (
    <TextInput
      label={label}
      placeholder={placeholder}
      value={value}
      onChange={(event) => onChange(event.currentTarget.value)}
      error={errorOf(path)}
      spellCheck={false}
    />
  );
}
