import { ActionIcon, Button, Group, Input, Stack, TextInput } from "@mantine/core";
import { IconPlus, IconTrash } from "@tabler/icons-react";
import { type EnvRow, newId } from "./form-model.ts";

interface EnvFieldsProps {
  readonly title: string;
  readonly button: string;
  readonly rows: readonly EnvRow[];
  readonly error: string | undefined;
  readonly onChange: (rows: readonly EnvRow[]) => void;
}

/** Fields for pairs of name and value. */
export function EnvFields({ title, button, rows, error, onChange }: EnvFieldsProps) {
  const change = (id: number, part: Partial<EnvRow>) =>
    onChange(rows.map((row) => (row.id === id ? { ...row, ...part } : row)));
  return (
    <Input.Wrapper label={rows.length > 0 ? title : undefined} error={error} labelElement="div">
      <Stack gap={6}>
        {rows.map((row, index) => (
          <Group key={row.id} gap={6} wrap="nowrap">
            <TextInput
              aria-label={`${title}: name ${index + 1}`}
              placeholder="NAME"
              value={row.name}
              onChange={(event) => change(row.id, { name: event.currentTarget.value })}
              spellCheck={false}
              style={{ flex: "1 1 40%" }}
              size="xs"
            />
            <TextInput
              aria-label={`${title}: value ${index + 1}`}
              placeholder="value"
              value={row.value}
              onChange={(event) => change(row.id, { value: event.currentTarget.value })}
              spellCheck={false}
              style={{ flex: "1 1 60%" }}
              size="xs"
            />
            <ActionIcon
              variant="subtle"
              color="gray"
              aria-label={`${title}: remove ${row.name || `row ${index + 1}`}`}
              onClick={() => onChange(rows.filter((other) => other.id !== row.id))}
            >
              <IconTrash size={15} />
            </ActionIcon>
          </Group>
        ))}
        <Group>
          <Button
            variant="subtle"
            color="gray"
            size="compact-xs"
            leftSection={<IconPlus size={13} />}
            onClick={() => onChange([...rows, { id: newId(), name: "", value: "" }])}
          >
            {button}
          </Button>
        </Group>
      </Stack>
    </Input.Wrapper>
  );
}
