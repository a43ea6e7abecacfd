import { type JobView, secretVariable } from "@airlock/api";
import { Button, Code, Collapse, Group, Paper, Stack, Text } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { IconChevronDown, IconChevronRight, IconKey } from "@tabler/icons-react";
import { CommandBlock } from "../../ui/command-block.tsx";

/** The job as submitted: images and scripts of the steps, labels, outputs. */
export function JobDefinition({ job }: { readonly job: JobView }) {
  const [opened, { toggle }] = useDisclosure(false);
  const Chevron = opened ? IconChevronDown : IconChevronRight;
  const checkout = checkoutWords(job);
  const labels = Object.entries(job.labels).map(([name, value]) => `${name}=${value}`);
  return (
    <div>
      <Button
        variant="subtle"
        size="compact-sm"
        color="gray"
        leftSection={<Chevron size={14} />}
        onClick={toggle}
        aria-expanded={opened}
      >
        Definition
      </Button>
      <Collapse expanded={opened}>
        <Paper withBorder p="md" mt="xs" bg="var(--airlock-surface)">
          <Stack gap="md">
            <Group gap="lg">
              <Text size="sm">
                <Text span c="dimmed" size="sm">
                  Priority
                </Text>{" "}
                {job.priority}
              </Text>
              {checkout !== "" && (
                <Text size="sm">
                  <Text span c="dimmed" size="sm">
                    Checkout
                  </Text>{" "}
                  {checkout}
                </Text>
              )}
              {labels.length > 0 && (
                <Text size="sm">
                  <Text span c="dimmed" size="sm">
                    Labels
                  </Text>{" "}
                  {labels.join(", ")}
                </Text>
              )}
              {job.diff && (
                <Text size="sm">
                  <Text span c="dimmed" size="sm">
                    Workspace diff
                  </Text>{" "}
                  kept
                </Text>
              )}
              {job.outputs.length > 0 && (
                <Text size="sm">
                  <Text span c="dimmed" size="sm">
                    Outputs
                  </Text>{" "}
                  {job.outputs.join(", ")}
                </Text>
              )}
            </Group>
            {job.steps.map((step) => (
              <section key={step.key} aria-label={`Step ${step.key}`}>
                <Group gap="xs" mb={6}>
                  <Text fw={600} size="sm">
                    {step.key}
                  </Text>
                  <Code>{step.image}</Code>
                  {step.dir !== "" && (
                    <Text size="sm" c="dimmed">
                      in {step.dir}
                    </Text>
                  )}
                </Group>
                {step.secrets.length > 0 && (
                  <Group gap={6} mb={6}>
                    <IconKey size={15} stroke={1.8} aria-hidden />
                    <Text size="sm" c="dimmed">
                      Secrets
                    </Text>
                    {step.secrets.map((secret) => (
                      <Code key={secretVariable(secret)}>{secretVariable(secret)}</Code>
                    ))}
                  </Group>
                )}
                <CommandBlock label={`Script of ${step.key}`} text={step.commands.join("\n")} />
              </section>
            ))}
          </Stack>
        </Paper>
      </Collapse>
    </div>
  );
}

/** Lists what differs from a checkout of just the commit; empty if nothing does. */
function checkoutWords({ checkout: { depth, tags, paths } }: JobView): string {
  return [
    ...(depth === 1 ? [] : [depth === "full" ? "full history" : `${depth} commits`]),
    ...(tags ? ["tags"] : []),
    ...(paths.length > 0 ? [`only ${paths.join(", ")}`] : []),
  ].join(", ");
}
