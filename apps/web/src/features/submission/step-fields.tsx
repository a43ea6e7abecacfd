import { ActionIcon, Button, Group, Paper, SimpleGrid, Stack, Text, Textarea, TextInput, Tooltip } from "@mantine/core";
import { IconArrowDown, IconArrowUp, IconTrash } from "@tabler/icons-react";
import { EnvFields } from "./env-fields.tsx";
import type { StepValues } from "./form-model.ts";
import { SecretFields } from "./secret-fields.tsx";

interface StepFieldsProps {
  readonly step: StepValues;
  readonly index: number;
  readonly count: number;
  readonly errors: ReadonlyMap<string, string>;
  /** Names of all secrets, to choose from. */
  readonly secretNames: readonly string[];
  readonly onChange: (step: StepValues) => void;
  readonly onMove: (by: 1 | -1) => void;
  readonly onRemove: () => void;
}

export function StepFields({ step, index, count, errors, secretNames, onChange, onMove, onRemove }: StepFieldsProps) {
  const error = (name: string) => errors.get(`steps[${index}].${name}`);
  const change = (part: Partial<StepValues>) => onChange({ ...step, ...part });
  const name = `step ${index + 1}`;
  return (
    <Paper
      withBorder
      p="md"
      bg="var(--airlock-surface)"
      component="fieldset"
      m={0}
      miw={0}
      aria-label={`Step ${index + 1}`}
    >
      <Group justify="space-between" mb="xs">
        <Text fw={600}>Step {index + 1}</Text>
        {count > 1 && (
          <Group gap={4}>
            <StepButton
              label={`Move ${name} up`}
              icon={IconArrowUp}
              disabled={index === 0}
              onClick={() => onMove(-1)}
            />
            <StepButton
              label={`Move ${name} down`}
              icon={IconArrowDown}
              disabled={index === count - 1}
              onClick={() => onMove(1)}
            />
            <StepButton label={`Remove ${name}`} icon={IconTrash} disabled={false} onClick={onRemove} />
          </Group>
        )}
      </Group>
      <Stack gap="sm">
        <SimpleGrid cols={{ base: 1, sm: 2 }}>
          <TextInput
            label="Image"
            placeholder="alpine:3"
            required
            value={step.image}
            error={error("image")}
            onChange={(event) => change({ image: event.currentTarget.value })}
            spellCheck={false}
            styles={{ input: { fontFamily: "var(--mantine-font-family-monospace)" } }}
          />
          <TextInput
            label="Name"
            placeholder={String(index)}
            value={step.key}
            error={error("key")}
            onChange={(event) => change({ key: event.currentTarget.value })}
          />
        </SimpleGrid>
        <Textarea
          label="Script"
          description="For /bin/sh; ends at the first command that fails"
          placeholder={"npm ci\nnpm test"}
          required
          autosize
          minRows={4}
          maxRows={24}
          value={step.run}
          error={error("run")}
          onChange={(event) => change({ run: event.currentTarget.value })}
          spellCheck={false}
          styles={{ input: { fontFamily: "var(--mantine-font-family-monospace)", fontSize: 13 } }}
        />
        <EnvFields
          title="Environment"
          button="Add a variable"
          rows={step.env}
          error={error("env")}
          onChange={(env) => change({ env })}
        />
        <SecretFields step={step} names={secretNames} error={error("secrets")} onChange={(part) => change(part)} />
        {(step.dir !== "" || error("dir") !== undefined) && (
          <TextInput
            label="Directory"
            description="Relative to the workspace"
            value={step.dir}
            error={error("dir")}
            onChange={(event) => change({ dir: event.currentTarget.value })}
          />
        )}
        {step.dir === "" && error("dir") === undefined && (
          <Group>
            <Button variant="subtle" color="gray" size="compact-xs" onClick={() => change({ dir: "." })}>
              Run in another directory
            </Button>
          </Group>
        )}
      </Stack>
    </Paper>
  );
}

interface StepButtonProps {
  readonly label: string;
  readonly icon: typeof IconTrash;
  readonly disabled: boolean;
  readonly onClick: () => void;
}

function StepButton({ label, icon: Picture, disabled, onClick }: StepButtonProps) {
  return (
    <Tooltip label={label} withArrow>
      <ActionIcon variant="subtle" color="gray" aria-label={label} disabled={disabled} onClick={onClick}>
        <Picture size={16} />
      </ActionIcon>
    </Tooltip>
  );
}
