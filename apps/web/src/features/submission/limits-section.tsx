import { SimpleGrid, Text, TextInput } from "@mantine/core";
import { FormSection } from "../../forms/form-section.tsx";
import type { SectionProps } from "./section-props.ts";

const limits = [
  { field: "cpus", label: "CPUs", placeholder: "2", path: "resources.cpus" },
  { field: "memory", label: "Memory", placeholder: "2Gi", path: "resources.memory" },
  { field: "disk", label: "Disk", placeholder: "10Gi", path: "resources.disk" },
  { field: "pids", label: "Processes", placeholder: "512", path: "resources.pids" },
  { field: "shm", label: "Shared memory", placeholder: "1Gi", path: "resources.shm" },
  { field: "timeout", label: "Timeout", placeholder: "30m", path: "timeout" },
] as const;

export function LimitsSection({ values, errorOf, change }: SectionProps) {
  return (
    <FormSection title="Limits">
      <SimpleGrid cols={{ base: 2, sm: 3 }}>
        {limits.map(({ field, label, placeholder, path }) => (
          <TextInput
            key={field}
            label={label}
            placeholder={placeholder}
            value={values[field]}
            onChange={(event) => change({ [field]: event.currentTarget.value })}
            error={errorOf(path)}
            spellCheck={false}
          />
        ))}
      </SimpleGrid>
      <Text size="xs" c="dimmed" mt="xs">
        An empty field means the executor's default.
      </Text>
    </FormSection>
  );
}
