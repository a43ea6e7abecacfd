import { Autocomplete, Select, SimpleGrid, TextInput } from "@mantine/core";
import { FormSection } from "../../forms/form-section.tsx";
import type { SectionProps } from "./section-props.ts";

interface SourceSectionProps extends SectionProps {
  readonly repositoryNames: readonly string[];
  readonly queueNames: readonly string[];
}

export function SourceSection({ values, errorOf, change, repositoryNames, queueNames }: SourceSectionProps) {
  return (
    <FormSection title="Source">
      <SimpleGrid cols={{ base: 1, sm: 3 }}>
        <Select
          label="Repository"
          placeholder="none: empty workspace"
          data={[...new Set([...repositoryNames, values.repository].filter(Boolean))]}
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
          data={[...queueNames]}
          value={values.queue}
          onChange={(queue) => change({ queue })}
          error={errorOf("queue")}
        />
      </SimpleGrid>
    </FormSection>
  );
}
