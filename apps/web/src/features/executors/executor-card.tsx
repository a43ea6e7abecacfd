import type { ExecutorView } from "@airlock/api";
import { Anchor, Badge, Group, Paper, Stack, Text, Title } from "@mantine/core";
import { IconCircleCheckFilled, IconCircleDashed, IconPlayerPause } from "@tabler/icons-react";
import type { ReactNode } from "react";
import { Link } from "react-router";
import { RelativeTime } from "../../ui/relative-time.tsx";
import { DrainButton } from "./drain-button.tsx";
import { PauseButton } from "./pause-button.tsx";
import { ResumeButton } from "./resume-button.tsx";

export function ExecutorCard({ executor }: { readonly executor: ExecutorView }) {
  const free = executor.slots === null ? 0 : executor.slots - executor.runningJobs.length;
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
          {executor.runningJobs.length} of {executor.slots ?? "an unknown number"} in use
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
      {executor.resumable ? (
        <ResumeButton executor={executor} />
      ) : (
        executor.active &&
        !executor.draining && (
          <Group gap="xs" mt="sm" align="flex-start">
            <PauseButton executor={executor} />
            <DrainButton executor={executor} />
          </Group>
        )
      )}
    </Paper>
  );
}

function Activity({ executor }: { readonly executor: ExecutorView }) {
  const isDrained = executor.resumable && executor.runningJobs.length === 0;
  const [word, color, Picture] = executor.active
    ? executor.draining
      ? ([isDrained ? "Drained" : "Draining", "yellow", IconPlayerPause] as const)
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
