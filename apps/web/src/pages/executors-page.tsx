import type { ExecutorView } from "@airlock/api";
import { Anchor, Badge, Button, Group, Loader, Modal, Paper, SimpleGrid, Stack, Text, Title } from "@mantine/core";
import { IconCircleCheckFilled, IconCircleDashed, IconPlayerPause, IconServer2 } from "@tabler/icons-react";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { type ReactNode, useState } from "react";
import { Link } from "react-router";
import { drainExecutor, listExecutors } from "../api-client/endpoints.ts";
import { queryKeys } from "../api-client/query-client.ts";
import { useListEvents } from "../features/jobs/use-list-events.ts";
import { CommandBlock } from "../ui/command-block.tsx";
import { EmptyState } from "../ui/empty-state.tsx";
import { ErrorPanel } from "../ui/error-panel.tsx";
import { PageHeader } from "../ui/page-header.tsx";
import { usePageIdentity } from "../ui/page-identity.ts";
import { RelativeTime } from "../ui/relative-time.tsx";

export function ExecutorsPage() {
  usePageIdentity("Executors");
  useListEvents();
  const { data, error, refetch } = useQuery({
    queryKey: queryKeys.executors,
    queryFn: ({ signal }) => listExecutors({ signal }),
    // Nothing tells of an executor that fell silent: it is seen by asking.
    refetchInterval: 10_000,
  });
  const active = data?.filter((executor) => executor.active) ?? [];
  const busy = active.reduce((sum, executor) => sum + executor.runningJobs.length, 0);
  const slots = active.reduce((sum, executor) => sum + executor.slots, 0);
  return (
    <>
      <PageHeader
        title="Executors"
        description={
          data && data.length > 0
            ? `${active.length} of ${data.length} active · ${busy} of ${slots} slots in use`
            : "Machines that take jobs from the queues and run them"
        }
      />
      {error && data === undefined && (
        <ErrorPanel title="The executors could not be loaded" error={error} onRetry={refetch} />
      )}
      {!error && data === undefined && <Loader type="dots" aria-label="Loading" />}
      {data?.length === 0 && <NoExecutors />}
      <SimpleGrid cols={{ base: 1, md: 2, xl: 3 }} spacing="md">
        {[...(data ?? [])]
          .sort((a, b) => Number(b.active) - Number(a.active) || a.name.localeCompare(b.name))
          .map((executor) => (
            <ExecutorCard key={executor.name} executor={executor} />
          ))}
      </SimpleGrid>
    </>
  );
}

function ExecutorCard({ executor }: { readonly executor: ExecutorView }) {
  const free = executor.slots - executor.runningJobs.length;
  return (
    <Paper component="article" withBorder p="md" bg="var(--airlock-surface)" aria-label={executor.name}>
      <Group justify="space-between" wrap="nowrap" mb="xs" align="flex-start">
        <Title order={2} size="h5" style={{ overflowWrap: "anywhere" }}>
          {executor.name}
        </Title>
        <Activity executor={executor} />
      </Group>
      <Stack gap={6}>
        <Fact name="Slots">
          {executor.runningJobs.length} of {executor.slots} in use
          {executor.active && !executor.draining && free > 0 && (
            <Text span c="dimmed" size="sm">
              {" "}
              · {free} free
            </Text>
          )}
        </Fact>
        <Fact name="Running">
          {executor.runningJobs.length === 0 ? (
            <Text span size="sm" c="dimmed">
              nothing
            </Text>
          ) : (
            <Group gap={8}>
              {executor.runningJobs.map((id) => (
                <Anchor key={id} component={Link} to={`/jobs/${id}`} size="sm" fw={600}>
                  #{id}
                </Anchor>
              ))}
            </Group>
          )}
        </Fact>
        <Fact name="Queues">
          <Tags texts={executor.queues} none="none" />
        </Fact>
        <Fact name="Labels">
          <Tags texts={Object.entries(executor.labels).map(([name, value]) => `${name}=${value}`)} none="none" />
        </Fact>
        <Fact name="Runtime">{joined(executor.runtime, executor.runtimeVersion) || "unknown"}</Fact>
        <Fact name="Platform">{[executor.os, executor.architecture].filter(Boolean).join("/") || "unknown"}</Fact>
        <Fact name="Version">{versions(executor)}</Fact>
        <Fact name="Speaks">{executor.extensions ? "base protocol, Airlock extensions" : "base protocol"}</Fact>
        <Fact name="Last seen">
          <RelativeTime at={executor.lastSeenAt} />
          <Text span c="dimmed" size="sm">
            {" "}
            · first <RelativeTime at={executor.firstSeenAt} />
          </Text>
        </Fact>
      </Stack>
      {executor.active && !executor.draining && <DrainButton executor={executor} />}
    </Paper>
  );
}

/** Asks before it acts: a drained executor leaves, and is started again by hand or by its supervisor. */
function DrainButton({ executor }: { readonly executor: ExecutorView }) {
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
      <Button
        mt="sm"
        size="xs"
        variant="default"
        disabled={executor.drainRequested}
        onClick={() => setAsking(true)}
        aria-label={`Drain ${executor.name}`}
      >
        {executor.drainRequested ? "Drain requested" : "Drain"}
      </Button>
      <Modal opened={asking} onClose={() => setAsking(false)} title={`Drain ${executor.name}?`}>
        <Text size="sm">
          It takes no further jobs and leaves when the running ones have ended
          {running > 0 && ` (${running} now)`}. Starting it again is up to whoever runs it.
        </Text>
        {drain.error && <ErrorPanel title="The executor could not be asked" error={drain.error} />}
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

function Activity({ executor }: { readonly executor: ExecutorView }) {
  const [word, color, Picture] = executor.active
    ? executor.draining
      ? (["Draining", "yellow", IconPlayerPause] as const)
      : (["Active", "green", IconCircleCheckFilled] as const)
    : (["Inactive", "gray", IconCircleDashed] as const);
  return (
    <Badge
      variant="light"
      color={color}
      tt="none"
      size="lg"
      leftSection={<Picture size={14} aria-hidden />}
      style={{ flex: "none" }}
    >
      {word}
    </Badge>
  );
}

function Fact({ name, children }: { readonly name: string; readonly children: ReactNode }) {
  return (
    <Group gap="xs" wrap="nowrap" align="baseline">
      <Text size="sm" c="dimmed" w={78} style={{ flex: "none" }}>
        {name}
      </Text>
      <Text size="sm" component="div" style={{ overflowWrap: "anywhere", minWidth: 0 }}>
        {children}
      </Text>
    </Group>
  );
}

function Tags({ texts, none }: { readonly texts: readonly string[]; readonly none: string }) {
  if (texts.length === 0) {
    return (
      <Text span size="sm" c="dimmed">
        {none}
      </Text>
    );
  }
  return (
    <Group gap={4}>
      {texts.map((text) => (
        <Badge key={text} variant="default" tt="none" fw={500} size="sm">
          {text}
        </Badge>
      ))}
    </Group>
  );
}

function joined(...texts: readonly string[]): string {
  return texts.filter(Boolean).join(" ");
}

function versions(executor: ExecutorView): string {
  const parts = [
    executor.version && `executor ${executor.version}`,
    executor.gitVersion && `git ${executor.gitVersion.replace(/^git version /, "")}`,
    executor.dockerVersion && executor.runtime !== "docker" && `docker ${executor.dockerVersion}`,
  ];
  return parts.filter(Boolean).join(" · ") || "unknown";
}

function NoExecutors() {
  return (
    <EmptyState icon={IconServer2} title="No executor has reported yet">
      <Text c="dimmed">
        Jobs wait in their queues until an executor takes them. Start one on any machine that reaches this instance:
      </Text>
      <CommandBlock
        label="Command"
        text={[
          `EXECUTOR_FRONTEND_URL=${window.location.origin} \\`,
          "EXECUTOR_FRONTEND_PASSWORD=… \\",
          "EXECUTOR_QUEUE_NAMES=default \\",
          "executor run",
        ].join("\n")}
      />
      <Text c="dimmed" size="sm">
        The password is the instance's shared secret for executors. It shows up here within seconds.
      </Text>
    </EmptyState>
  );
}
