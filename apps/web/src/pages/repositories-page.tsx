import type { RepositoryView } from "@airlock/api";
import { formatBytes } from "@airlock/job";
import { Alert, Anchor, Badge, Button, Code, Group, Loader, Paper, Stack, Text, TextInput, Title } from "@mantine/core";
import { IconAlertCircle, IconCircleCheck, IconCircleX, IconFolders, IconLoader2, IconPlus } from "@tabler/icons-react";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { Link } from "react-router";
import { addRepository, listRepositories } from "../api-client/endpoints.ts";
import { errorWords } from "../api-client/error-words.ts";
import { ApiRequestError } from "../api-client/http.ts";
import { queryKeys } from "../api-client/query-client.ts";
import { useAdministrator } from "../api-client/use-administrator.ts";
import { RepositoryActions } from "../features/repositories/repository-actions.tsx";
import { VisibilityDialog } from "../features/repositories/visibility-dialog.tsx";
import { issuesByField } from "../forms/issues.ts";
import { announce } from "../ui/announcer.tsx";
import { EmptyState } from "../ui/empty-state.tsx";
import { ErrorPanel } from "../ui/error-panel.tsx";
import { PageHeader } from "../ui/page-header.tsx";
import { usePageIdentity } from "../ui/page-identity.ts";
import { RelativeTime } from "../ui/relative-time.tsx";

export function RepositoriesPage() {
  usePageIdentity("Repositories");
  const administrator = useAdministrator();
  const { data, error, refetch } = useQuery({
    queryKey: queryKeys.repositories,
    queryFn: ({ signal }) => listRepositories({ signal }),
    // No event reports the end of a first fetch, so poll.
    refetchInterval: ({ state }) => (state.data?.some(({ state: own }) => own === "cloning") ? 1500 : 15_000),
  });
  return (
    <>
      <PageHeader
        title="Repositories"
        help="repositories"
        description="The instance mirrors repositories, so executors never see their credentials"
      />
      <Stack gap="md">
        {administrator && <AddRepository />}
        {error && data === undefined && (
          <ErrorPanel title="The repositories could not be loaded" error={error} onRetry={refetch} />
        )}
        {!error && data === undefined && <Loader type="dots" aria-label="Loading" />}
        {data?.length === 0 && (
          <EmptyState icon={IconFolders} title="No repositories yet">
            {administrator ? "Add the first one above." : "Ask an administrator to add one."} A job without a repository
            starts in an empty workspace.
          </EmptyState>
        )}
        {data?.map((repository) => (
          <Repository key={repository.name} repository={repository} />
        ))}
      </Stack>
    </>
  );
}

const states = {
  cloning: { word: "Cloning", color: "blue", icon: IconLoader2, spins: true },
  ready: { word: "Ready", color: "green", icon: IconCircleCheck, spins: false },
  failed: { word: "Failed", color: "red", icon: IconCircleX, spins: false },
} as const;

function Repository({ repository }: { readonly repository: RepositoryView }) {
  const { word, color, icon: Picture, spins } = states[repository.state];
  const administrator = useAdministrator();
  const [editing, setEditing] = useState(false);
  const visibility = visibilityWords(repository.organizations);
  return (
    <Paper component="article" withBorder p="md" bg="var(--airlock-surface)" aria-label={repository.name}>
      <Group justify="space-between" align="flex-start" gap="xs">
        <div style={{ flex: "1 1 260px", minWidth: 0 }}>
          <Title order={2} size="h5" style={{ overflowWrap: "anywhere" }}>
            {repository.name}
          </Title>
          <Text size="sm" c="dimmed" style={{ overflowWrap: "anywhere" }}>
            {repository.url}
          </Text>
        </div>
        <Badge
          variant="light"
          color={color}
          tt="none"
          size="lg"
          style={{ flex: "none" }}
          leftSection={<Picture size={14} className={spins ? "spin" : ""} aria-hidden style={{ display: "block" }} />}
        >
          {word}
        </Badge>
      </Group>
      {repository.error && (
        <Alert color="red" mt="sm" icon={<IconAlertCircle />} title="The last fetch failed">
          <Text size="sm" style={{ whiteSpace: "pre-wrap", overflowWrap: "anywhere" }}>
            {repository.error}
          </Text>
        </Alert>
      )}
      <Group mt="sm" gap="lg">
        <Text size="sm" c="dimmed" component="div">
          HEAD {repository.head ? <Code title={repository.head}>{repository.head.slice(0, 12)}</Code> : "unknown"}
        </Text>
        <Text size="sm" c="dimmed" component="div">
          {repository.fetchedAt ? (
            <>
              fetched <RelativeTime at={repository.fetchedAt} />
            </>
          ) : (
            "never fetched"
          )}
        </Text>
        {repository.sizeBytes !== null && (
          <Text size="sm" c="dimmed">
            {formatBytes(repository.sizeBytes)}
          </Text>
        )}
        <Anchor component={Link} size="sm" to={`/jobs?repository=${encodeURIComponent(repository.name)}`}>
          Jobs
        </Anchor>
        <Anchor component={Link} size="sm" to={`/submit?repository=${encodeURIComponent(repository.name)}`}>
          New job
        </Anchor>
        {administrator && (
          <Anchor
            component="button"
            type="button"
            size="sm"
            aria-label={`${visibility}: visibility of ${repository.name}`}
            onClick={() => setEditing(true)}
          >
            {visibility}
          </Anchor>
        )}
      </Group>
      {administrator && <RepositoryActions repository={repository} />}
      {editing && <VisibilityDialog repository={repository} onClose={() => setEditing(false)} />}
    </Paper>
  );
}

function visibilityWords(organizations: readonly string[] | null): string {
  if (organizations === null) return "Visible to everyone";
  const [first] = organizations;
  if (first === undefined) return "Visible to administrators";
  return organizations.length === 1 ? `Visible to ${first}` : `Visible to ${organizations.length} organizations`;
}

function AddRepository() {
  const client = useQueryClient();
  const [url, setUrl] = useState("");
  const [name, setName] = useState("");
  const { mutate, isPending, error, reset } = useMutation({
    mutationFn: addRepository,
    onSuccess: async (repository) => {
      announce(`Repository ${repository.name} added`);
      setUrl("");
      setName("");
      await client.invalidateQueries({ queryKey: queryKeys.repositories });
    },
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    mutate({ url: url.trim(), ...(name.trim() === "" ? {} : { name: name.trim() }) });
  };
  const issues = issuesByField(error instanceof ApiRequestError ? error.issues : [], ["url", "name"]);
  const words = error && issues.fields.size === 0 ? errorWords(error) : undefined;
  return (
    <Paper withBorder p="md" bg="var(--airlock-surface)" component="section" aria-label="Add a repository">
      <form onSubmit={submit}>
        <Group align="flex-start" gap="sm">
          <TextInput
            label="Git URL"
            placeholder="https://github.com/owner/name.git"
            description="https, ssh, git or file; in dev mode a local path"
            value={url}
            onChange={(event) => {
              setUrl(event.currentTarget.value);
              reset();
            }}
            error={issues.fields.get("url")}
            required
            style={{ flex: "2 1 300px" }}
          />
          <TextInput
            label="Name"
            placeholder="derived from the URL"
            description="Name of the repository in jobs"
            value={name}
            onChange={(event) => {
              setName(event.currentTarget.value);
              reset();
            }}
            error={issues.fields.get("name")}
            style={{ flex: "1 1 200px" }}
          />
          <Button
            type="submit"
            loading={isPending}
            leftSection={<IconPlus size={16} />}
            mt={{ base: 0, sm: 46 }}
            w={{ base: "100%", sm: "auto" }}
          >
            Add
          </Button>
        </Group>
        {words && (
          <Alert color="red" mt="sm" icon={<IconAlertCircle />} role="alert">
            <Text size="sm">{words.message}</Text>
            {words.hint && (
              <Text size="sm" c="dimmed">
                {words.hint}
              </Text>
            )}
          </Alert>
        )}
      </form>
    </Paper>
  );
}
