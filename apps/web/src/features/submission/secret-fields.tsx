import { Button, Group, SimpleGrid, TagsInput } from "@mantine/core";
import { IconKey } from "@tabler/icons-react";
import { useState } from "react";
import type { StepValues } from "./form-model.ts";

type SecretValues = Pick<StepValues, "secrets" | "secretFiles">;

interface SecretFieldsProps {
  readonly step: SecretValues;
  /** Names to choose from. Others can be typed. */
  readonly names: readonly string[];
  readonly error: string | undefined;
  readonly onChange: (part: Partial<SecretValues>) => void;
}

/** Fields for the secrets of a step, as variables or as files. */
export function SecretFields({ step, names, error, onChange }: SecretFieldsProps) {
  const [opened, setOpened] = useState(false);
  if (!opened && step.secrets.length === 0 && step.secretFiles.length === 0 && error === undefined) {
    return (
      <Group>
        <Button
          variant="subtle"
          color="gray"
          size="compact-xs"
          leftSection={<IconKey size={13} />}
          onClick={() => setOpened(true)}
        >
          Give it secrets
        </Button>
      </Group>
    );
  }
  return (
    <SimpleGrid cols={{ base: 1, sm: 2 }}>
      <TagsInput
        label="Secrets as variables"
        description="NAME holds the value"
        data={[...names]}
        value={[...step.secrets]}
        onChange={(secrets) => onChange({ secrets: secrets.map((name) => name.toUpperCase()) })}
        error={error}
        acceptValueOnBlur
      />
      <TagsInput
        label="Secrets as files"
        description="NAME_FILE holds the path of a read-only file"
        data={[...names]}
        value={[...step.secretFiles]}
        onChange={(files) => onChange({ secretFiles: files.map((name) => name.toUpperCase()) })}
        acceptValueOnBlur
      />
    </SimpleGrid>
  );
}
